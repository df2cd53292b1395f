//! Stop strings: text is held back while it might be the beginning of one.

/// Cuts a text at the first stop string, without ever releasing part of one.
#[derive(Debug, Clone)]
pub struct StopFilter {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

impl StopFilter {
    /// A filter for these strings; empty ones are ignored.
    #[must_use]
    pub fn new(stops: Vec<String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self { stops, held: String::new(), stopped: false }
    }

    /// Adds text, and appends to `certain` what certainly comes before every stop string.
    pub fn push(&mut self, text: &str, certain: &mut String) {
        if self.stopped {
            return;
        }
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.stopped = true;
            self.held.truncate(at);
            return self.finish(certain);
        }
        let release = self.held.len() - self.longest_beginning();
        certain.push_str(self.held.split_at(release).0);
        self.held.drain(..release);
    }

    /// Whether there is no string to stop at: nothing is ever held back then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stops.is_empty()
    }

    /// Whether a stop string was reached.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// The end of the text came: what was held back is no stop string after all, and is appended to `certain`.
    pub fn finish(&mut self, certain: &mut String) {
        certain.push_str(&self.held);
        self.held.clear();
    }

    /// Bytes at the end of the held text that begin some stop string.
    fn longest_beginning(&self) -> usize {
        let held = self.held.as_bytes();
        let beginning = |stop: &String| {
            let stop = stop.as_bytes();
            let most = held.len().min(stop.len().saturating_sub(1));
            (1..=most).rev().find(|n| held.ends_with(stop.split_at(*n).0)).unwrap_or(0)
        };
        self.stops.iter().map(beginning).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut filter = StopFilter::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
        let mut out = String::new();
        for piece in pieces {
            filter.push(piece, &mut out);
            if filter.stopped() {
                return (out, true);
            }
        }
        filter.finish(&mut out);
        (out, false)
    }

    #[test]
    fn a_stop_string_over_several_pieces_is_never_shown() {
        assert_eq!(run(&["</end>"], &["once <", "/e", "nd> upon"]), ("once ".into(), true));
    }

    #[test]
    fn a_beginning_that_is_none_is_released() {
        assert_eq!(run(&["</end>"], &["a </e", "lse"]), ("a </else".into(), false));
        assert_eq!(run(&["END"], &["the E", "N"]), ("the EN".into(), false));
    }

    #[test]
    fn the_earliest_of_several_wins() {
        assert_eq!(run(&["yy", "x"], &["a x yy"]), ("a ".into(), true));
    }

    #[test]
    fn characters_of_many_bytes_are_not_split() {
        assert_eq!(run(&["éa"], &["caf", "é", "b"]), ("caféb".into(), false));
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_how_the_text_was_cut(
            text in "[abé]{0,40}", stops in prop::collection::vec("[abé]{1,4}", 0..3), cut in 1usize..5,
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let characters: Vec<String> = text.chars().map(String::from).collect();
            let pieces: Vec<String> = characters.chunks(cut).map(<[String]>::concat).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let expected = match stops.iter().filter_map(|stop| text.find(stop)).min() {
                Some(at) => (text.split_at(at).0.to_owned(), true),
                None => (text.clone(), false),
            };
            // A longer stop that starts earlier may be complete only after a shorter one is: the first
            // complete one wins while streaming, so compare only where the two views agree.
            let got = run(&stops, &pieces);
            prop_assert!(got.1 == expected.1);
            prop_assert!(got.0.starts_with(&expected.0));
        }
    }
}
