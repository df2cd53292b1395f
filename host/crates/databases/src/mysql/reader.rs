//! Takes numbers and texts from the front of a packet. Whoever sent it may have written anything.

/// A packet that ends too early, or says what makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it sent no {0}")]
pub struct Malformed(pub(super) &'static str);

/// What is left of a packet. `what` is how an error calls the packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8], what: &'static str) -> Self {
        Self { rest, what }
    }

    pub(super) fn malformed<T>(&self) -> Result<T, Malformed> {
        Err(Malformed(self.what))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed(self.what))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number that says its own length.
    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        match self.u8()? {
            small @ 0..=0xfa => Ok(small.into()),
            0xfc => self.u16().map(u64::from),
            0xfd => self.array().map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]).into()),
            0xfe => self.array().map(u64::from_le_bytes),
            // NULL, and what begins an error.
            _ => self.malformed(),
        }
    }

    /// What follows its length.
    pub(super) fn counted(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// What stands before a zero, or before the end, where some servers leave the zero out.
    pub(super) fn terminated(&mut self) -> &'a [u8] {
        let length = self.rest.iter().position(|byte| *byte == 0);
        let (text, rest) = self.rest.split_at_checked(length.unwrap_or(self.rest.len())).unwrap_or((self.rest, &[]));
        self.rest = rest.get(1..).unwrap_or_default();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_their_length_and_texts_their_end() {
        let bytes = [0xfa, 0xfc, 1, 2, 0xfd, 1, 2, 3, 0xfe, 1, 0, 0, 0, 0, 0, 0, 0, 2, b'a', b'b', b'c', 0, b'd'];
        let mut reader = Reader::new(&bytes, "test");
        assert_eq!([(); 4].map(|()| reader.number().unwrap()), [0xfa, 0x201, 0x0003_0201, 1]);
        assert_eq!(reader.counted(), Ok(&b"ab"[..]));
        assert_eq!((reader.terminated(), reader.terminated(), reader.terminated()), (&b"c"[..], &b"d"[..], &b""[..]));
        assert!(reader.is_empty());
        for wrong in [&[][..], &[0xfb], &[0xff], &[0xfc, 1], &[0xfe, 1, 2, 3]] {
            assert_eq!(Reader::new(wrong, "number").number(), Err(Malformed("number")), "{wrong:?}");
        }
        let long = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Reader::new(&long, "text").counted(), Err(Malformed("text")));
    }
}
