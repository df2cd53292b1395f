//! A server in the test's own process that greets as MySQL does, and then does not do what it should.

use crate::Result;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What it does instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MysqlLie {
    /// It is a web server.
    Web,
    /// It greets without end.
    EndlessGreeting,
    /// It wants the password in the clear.
    ClearPassword,
    /// To a statement it asks for a file.
    File,
    /// It goes in the middle of the second row.
    Gone,
    /// It sends rows without end.
    EndlessRows,
    /// It sends one row without end.
    EndlessRow,
    /// It sends definitions of columns without end.
    EndlessColumns,
    /// It sends what is no row.
    NoRow,
    /// It wants the whole password, for a key of its own.
    OwnKey,
}

/// What it says that it can: MySQL 4.1's protocol and ways to log in, and no TLS.
const CAPABILITIES: u32 = 0x000e_a20d;
/// A public key, whose other half nobody kept.
const KEY: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDjXhjtaeDS5gM/S8hF7kcczfyh
puktFy6xnRkd6TuFRqdoxm45w4nLWpRn/S9UsumCuf+cDDGlnjs+x8wo7HaJyrRx
Cd+MzePXENM24zYvHWa27131XjzJCGWmTSGIdKrHFxEE+panreydXUCe/T/YxOz6
66Titrh9337pTZ+O8QIDAQAB
-----END PUBLIC KEY-----
";
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const END: &[u8] = &[0xfe, 0, 0, 2, 0];
/// A column of texts, with the name `text`.
const COLUMN: &[u8] = b"\x03def\0\0\0\x04text\0\x0c\x2d\0\xff\0\0\0\xfd\0\0\0\0\0";

/// The server. It ends when this is dropped.
#[derive(Debug)]
pub struct MysqlLiar {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
    serving: JoinHandle<()>,
}

impl MysqlLiar {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(lie: MysqlLie) -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, lie).await
    }

    /// The same on another address.
    ///
    /// # Errors
    /// The same.
    pub async fn start_at(address: Ipv4Addr, lie: MysqlLie) -> Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let port = listener.local_addr()?.port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut connection = Connection { stream, number: 0, heard: Arc::clone(&hears) };
                // A client that leaves has seen enough.
                tokio::spawn(async move { drop(connection.serve(lie).await) });
            }
        });
        Ok(Self { port, heard, serving })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All that it was told.
    #[must_use]
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for MysqlLiar {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Connection {
    stream: TcpStream,
    number: u8,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Connection {
    async fn serve(&mut self, lie: MysqlLie) -> Result {
        match lie {
            MysqlLie::Web => return Ok(self.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?),
            MysqlLie::EndlessGreeting => return self.endless(&[]).await,
            _ => self.say(&greeting()).await?,
        }
        self.hear().await?;
        if lie == MysqlLie::ClearPassword {
            self.say(b"\xfemysql_clear_password\0").await?;
            self.hear().await?;
        }
        if lie == MysqlLie::OwnKey {
            self.say(b"\xfecaching_sha2_password\0nonce-of-20-bytes!!!\0").await?;
            self.hear().await?;
            self.say(&[1, 4]).await?;
            self.hear().await?;
            self.say(&[b"\x01", KEY.as_bytes()].concat()).await?;
            self.hear().await?;
        }
        self.say(OK).await?;
        loop {
            let command = self.hear().await?;
            match command.first() {
                Some(&PREPARE) => {
                    self.say(&[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
                    self.say(COLUMN).await?;
                    self.say(END).await?;
                }
                Some(&EXECUTE) => return self.lie(lie).await,
                _ => {}
            }
        }
    }

    /// The answer to a statement.
    async fn lie(&mut self, lie: MysqlLie) -> Result {
        if lie == MysqlLie::File {
            self.say(b"\xfb/etc/hostname").await?;
            self.hear().await?;
            return Ok(());
        }
        if lie == MysqlLie::EndlessColumns {
            self.say(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).await?;
            loop {
                self.say(COLUMN).await?;
            }
        }
        self.say(&[1]).await?;
        self.say(COLUMN).await?;
        self.say(END).await?;
        match lie {
            MysqlLie::EndlessRow => self.endless(&[0, 0, 0xfe]).await,
            MysqlLie::EndlessRows => {
                let row = [&[0, 0, 0xfc, 0xe8, 3][..], &[b'x'; 1000]].concat();
                loop {
                    self.say(&row).await?;
                }
            }
            MysqlLie::NoRow => self.say(b"\x07no row at all").await,
            _ => {
                self.say(b"\0\0\x05first").await?;
                let head = [9, 0, 0, self.number];
                self.stream.write_all(&[&head, &b"\0\0\x06sec"[..]].concat()).await?;
                Ok(())
            }
        }
    }

    async fn say(&mut self, content: &[u8]) -> Result {
        let [a, b, c, ..] = content.len().to_le_bytes();
        self.stream.write_all(&[&[a, b, c, self.number], content].concat()).await?;
        self.number = self.number.wrapping_add(1);
        Ok(())
    }

    /// A packet that begins like this and goes on in the next one, and so on.
    async fn endless(&mut self, begin: &[u8]) -> Result {
        let mut content = vec![b'x'; 0xff_ffff];
        content.splice(..begin.len(), begin.iter().copied());
        loop {
            self.say(&content).await?;
        }
    }

    async fn hear(&mut self) -> Result<Vec<u8>> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).await?;
        let [a, b, c, number] = head;
        let mut content = vec![0; u32::from_le_bytes([a, b, c, 0]) as usize];
        self.stream.read_exact(&mut content).await?;
        self.number = number.wrapping_add(1);
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).extend(&content);
        Ok(content)
    }
}

fn greeting() -> Vec<u8> {
    let [a, b, c, d] = CAPABILITIES.to_le_bytes();
    let mut packet = b"\x0a8.0.36-liar\0\x01\0\0\0nonce-of\0".to_vec();
    packet.extend([a, b, 45, 2, 0, c, d, 21]);
    packet.extend([0; 10]);
    packet.extend(b"-20-bytes!!!\0mysql_native_password\0");
    packet
}
