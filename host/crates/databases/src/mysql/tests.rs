//! Logins and statements with a server that says what a test wants.

use super::auth::{NONCE_BYTES, Plugin};
use super::decode::tests::definition;
use super::handshake::tests::{TLS, greeting};
use super::rsa::tests::{KEY, decrypt};
use super::wire::Wire;
use super::*;
use futures::FutureExt;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsAcceptor;

const ACCOUNT: u64 = 1 << 20;
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const END: &[u8] = &[0xfe, 0, 0, 2, 0];
/// The same, with another result behind it.
const MORE: &[u8] = &[0xfe, 0, 0, 10, 0];

struct Server(Wire);

impl Server {
    fn new() -> (Self, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        (Self(Wire::new(Box::new(theirs))), ours)
    }

    async fn say(&mut self, packets: &[&[u8]]) {
        packets.iter().for_each(|packet| self.0.write(packet));
        self.0.send().await.unwrap();
    }

    async fn hear(&mut self) -> Vec<u8> {
        self.0.packet().await.unwrap().to_vec()
    }

    /// A command, which begins with this.
    async fn command(&mut self, kind: u8) -> Vec<u8> {
        self.0.begin();
        let packet = self.hear().await;
        assert_eq!(packet.first(), Some(&kind), "{packet:?}");
        packet
    }

    /// Prepares a statement with one column.
    async fn prepare(&mut self) {
        self.command(0x16).await;
        self.say(&[&[0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], &definition("c", 8, 0), END]).await;
        assert_eq!(self.command(0x17).await.get(1), Some(&7));
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

async fn open_as(privacy: Privacy, text: &str, stream: DuplexStream) -> Result<Connection, OpenError> {
    Connection::open(&address(text), "localhost", stream, privacy, &Account::new(ACCOUNT)).await
}

async fn open(text: &str, stream: DuplexStream) -> Result<Connection, OpenError> {
    open_as(Privacy::Loopback, text, stream).await
}

/// Logs in to a server that does this after its greeting.
async fn login(text: &str, plugin: &str, then: impl AsyncFnOnce(&mut Server)) -> Result<Connection, OpenError> {
    let (mut server, stream) = Server::new();
    let serve = async {
        server.say(&[&greeting(plugin, 0)]).await;
        server.hear().await;
        then(&mut server).await;
    };
    tokio::join!(open(text, stream), serve).0
}

async fn connected() -> (Connection, Server, Account) {
    let (mut server, stream) = Server::new();
    let serve = async {
        server.say(&[&greeting("mysql_native_password", 0)]).await;
        server.hear().await;
        server.say(&[OK]).await;
    };
    let (connection, ()) = tokio::join!(open("mysql://user@host", stream), serve);
    (connection.unwrap(), server, Account::new(ACCOUNT))
}

fn row(number: i64) -> Vec<u8> {
    [&[0, 0][..], &number.to_le_bytes()].concat()
}

#[tokio::test]
async fn a_password_is_told_as_the_server_wants() {
    let url = "mysql://user:hunter2@host";
    let switched = login(url, "caching_sha2_password", async |server| {
        server.say(&[b"\xfemysql_native_password\0nonce-of-20-bytes!!!\0"]).await;
        assert_eq!(server.hear().await, Plugin::Native.answer("hunter2", b"nonce-of-20-bytes!!!"));
        server.say(&[OK]).await;
    });
    switched.await.unwrap();
    let known = login(url, "caching_sha2_password", async |server| server.say(&[&[1, 3], OK]).await);
    known.await.unwrap();
    let encrypted = login(url, "caching_sha2_password", async |server| {
        server.say(&[&[1, 4]]).await;
        assert_eq!(server.hear().await, [2]);
        server.say(&[&[&[1], KEY.as_bytes()].concat()]).await;
        let nonce = [[1; 8].as_slice(), &[2; NONCE_BYTES - 8]].concat();
        let told: Vec<u8> = decrypt(&server.hear().await).iter().zip(nonce).map(|(a, b)| a ^ b).collect();
        assert_eq!(told, b"hunter2\0");
        server.say(&[OK]).await;
    });
    encrypted.await.unwrap();
}

#[tokio::test]
async fn whoever_is_on_the_way_is_not_told_a_password_by_a_key_of_their_own() {
    let greetings = [("caching_sha2_password", None), ("mysql_native_password", Some(&b"caching_sha2_password"[..]))];
    for (plugin, switch) in greetings {
        for asked in [&[1, 4][..], &[&[1], KEY.as_bytes()].concat()] {
            let (mut server, stream) = Server::new();
            let serve = async {
                server.say(&[&greeting(plugin, TLS)]).await;
                server.hear().await;
                if let Some(name) = switch {
                    server.say(&[&[&[0xfe], name, b"\0nonce-of-20-bytes!!!\0"].concat()]).await;
                    server.hear().await;
                }
                server.say(&[asked]).await;
                // Not a byte of an answer.
                assert!(server.0.packet().await.is_err());
            };
            let open = async {
                let refused = open_as(Privacy::Open, "mysql://user:hunter2@host", stream).await.unwrap_err();
                assert!(matches!(refused, OpenError::Unprotected), "{refused:?}");
                let told = refused.to_string();
                assert!(told.contains("ssl-mode=REQUIRED") && !told.contains("hunter2"), "{told}");
            };
            tokio::join!(open, serve);
        }
    }
    // A server that knows the password need not be told it.
    let (mut server, stream) = Server::new();
    let serve = async {
        server.say(&[&greeting("caching_sha2_password", 0)]).await;
        server.hear().await;
        server.say(&[&[1, 3], OK]).await;
    };
    let (opened, ()) = tokio::join!(open_as(Privacy::Open, "mysql://user:hunter2@host", stream), serve);
    opened.unwrap();
}

#[tokio::test]
async fn a_whole_password_goes_through_tls_alone() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.der().clone(), PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()));
    let provider = || Arc::new(rustls::crypto::ring::default_provider());
    let theirs = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let theirs = theirs.with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let ours = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let ours = Arc::new(ours.with_root_certificates(roots).with_no_client_auth());

    let (stream, mut plain) = tokio::io::duplex(1 << 20);
    let serve = async {
        let greeting = greeting("caching_sha2_password", TLS);
        plain.write_all(&[u8::try_from(greeting.len()).unwrap(), 0, 0, 0]).await.unwrap();
        plain.write_all(&greeting).await.unwrap();
        // Who asks is not said before TLS.
        let mut asked = [0; 36];
        plain.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked[..4], [32, 0, 0, 1]);
        let stream = TlsAcceptor::from(Arc::new(theirs)).accept(plain).await.unwrap();
        let mut server = Server(Wire::again(Box::new(stream), 2));
        server.hear().await;
        server.say(&[&[1, 4]]).await;
        assert_eq!(server.hear().await, b"hunter2\0");
        server.say(&[OK]).await;
    };
    let (secure, account) = (address("mysql://user:hunter2@host?ssl-mode=REQUIRED"), Account::new(ACCOUNT));
    let (opened, ()) =
        tokio::join!(Connection::open(&secure, "localhost", stream, Privacy::Tls(ours), &account), serve);
    opened.unwrap();
}

#[tokio::test]
async fn a_login_that_is_refused_or_makes_no_sense_says_why() {
    let url = "mysql://user:hunter2@host";
    let refused =
        login(url, "mysql_native_password", async |server| server.say(&[b"\xff\x15\x04#28000no"]).await).await;
    assert!(matches!(refused, Err(OpenError::Refused(ServerError { code: 1045, .. }))), "{refused:?}");
    let clear = login(url, "mysql_native_password", async |server| server.say(&[b"\xfemysql_clear_password\0"]).await);
    let clear = clear.await;
    assert!(matches!(&clear, Err(OpenError::Plugin(name)) if name == "mysql_clear_password"), "{clear:?}");
    // Whole, or a key, or for ever, though the password is told otherwise.
    for asked in [&[1, 4][..], &[1, 3], &[1, b'-']] {
        let strange = login(url, "mysql_native_password", async |server| server.say(&[asked]).await).await;
        assert!(matches!(strange, Err(OpenError::Lost(Lost::Malformed(_)))), "{strange:?}");
    }
    let endless = login(url, "caching_sha2_password", async |server| server.say(&[&[1, 3][..]; 20]).await).await;
    assert!(matches!(endless, Err(OpenError::Lost(Lost::Malformed(_)))), "{endless:?}");
    let no_key = login(url, "caching_sha2_password", async |server| {
        server.say(&[&[1, 4]]).await;
        server.hear().await;
        server.say(&[b"\x01no key"]).await;
    });
    assert!(matches!(no_key.await, Err(OpenError::Key(_))));

    let first = async |packet: &[u8], url: &str| {
        let (mut server, stream) = Server::new();
        server.say(&[packet]).await;
        open(url, stream).await.unwrap_err()
    };
    assert!(matches!(first(b"\xff\x10\x04Too many connections", url).await, OpenError::Refused(_)));
    assert!(matches!(first(b"SSH-2.0-OpenSSH", url).await, OpenError::Lost(_)));
    let secure = "mysql://user@host?ssl-mode=REQUIRED";
    assert!(matches!(first(&greeting("mysql_native_password", 0), secure).await, OpenError::NoTls));
}

#[tokio::test]
async fn rows_that_nobody_reads_are_not_the_next_statements() {
    let (connection, mut server, account) = connected().await;
    let column = definition("c", 8, 0);
    let ask = async {
        let mut charge = account.charge(0).unwrap();
        let mut rows = connection.query("first", Vec::new(), &account).await.unwrap();
        assert_eq!(rows.next(&mut charge).await.unwrap(), Some(vec![Value::Int64(1)]));
        drop(rows);
        let mut rows = connection.query("second", Vec::new(), &account).await.unwrap();
        assert_eq!(rows.columns(), [Column { name: "c".into(), data_type: DataType::Int64 }]);
        assert_eq!(rows.next(&mut charge).await.unwrap(), Some(vec![Value::Int64(5)]));
        assert_eq!(rows.next(&mut charge).await.unwrap(), None);
        assert_eq!(rows.next(&mut charge).await.unwrap(), None, "it stays at its end");
    };
    let serve = async {
        server.prepare().await;
        server.say(&[&[1], &column, END, &row(1), &row(2), MORE, &[1], &column, END, &row(3), MORE, OK]).await;
        assert_eq!(server.command(0x19).await.get(1), Some(&7), "the old statement is closed");
        server.prepare().await;
        server.say(&[&[1], &column, END, &row(5), END]).await;
    };
    tokio::join!(ask, serve);
    drop(connection);
    assert_eq!(account.held(), 0);
}

#[tokio::test]
async fn who_stops_waiting_for_a_row_gets_it_the_next_time() {
    let (connection, mut server, account) = connected().await;
    let serve = async {
        server.prepare().await;
        server.say(&[&[1], &definition("c", 8, 0), END]).await;
    };
    let (rows, ()) = tokio::join!(connection.query("first", Vec::new(), &account), serve);
    let (mut rows, mut charge) = (rows.unwrap(), account.charge(0).unwrap());
    assert!(rows.next(&mut charge).now_or_never().is_none());
    server.say(&[&row(1)]).await;
    assert_eq!(rows.next(&mut charge).await.unwrap(), Some(vec![Value::Int64(1)]));
    server.say(&[MORE]).await;
    // The end of this result is there, and that of the next one is not.
    assert!(rows.next(&mut charge).now_or_never().is_none());
    server.say(&[OK]).await;
    assert_eq!(rows.next(&mut charge).await.unwrap(), None);
}

#[tokio::test]
async fn a_part_of_a_long_row_is_not_kept_for_somebody_who_stops_waiting() {
    let (connection, mut server, account) = connected().await;
    let serve = async {
        server.prepare().await;
        server.say(&[&[1], &definition("c", 253, 0), END]).await;
        server
    };
    let (rows, server) = tokio::join!(connection.query("first", Vec::new(), &account), serve);
    let (mut rows, mut charge) = (rows.unwrap(), account.charge(0).unwrap());
    let text = [&[0, 0, 0xfd, 0x40, 0x0d, 3][..], &[b'x'; 200_000]].concat();
    let (mut raw, number) = server.0.apart().unwrap();
    let [a, b, c, ..] = text.len().to_le_bytes();
    raw.write_all(&[&[a, b, c, number][..], &text[..150_000]].concat()).await.unwrap();
    assert!(rows.next(&mut charge).now_or_never().is_none());
    raw.write_all(&text[150_000..]).await.unwrap();
    let rest = rows.next(&mut charge).await;
    assert!(matches!(rest, Err(QueryError::Lost(Lost::GivenUp))), "{rest:?}");
    drop(rows);
    let again = connection.execute("second", Vec::new(), &account).await;
    assert!(matches!(again, Err(QueryError::Lost(Lost::GivenUp))), "{again:?}");
}

#[tokio::test]
async fn an_error_after_rows_is_told_and_the_connection_goes_on() {
    let (connection, mut server, account) = connected().await;
    let column = definition("c", 8, 0);
    let ask = async {
        let failed = connection.execute("first", Vec::new(), &account).await;
        assert!(matches!(failed, Err(QueryError::Refused(ServerError { code: 1317, .. }))), "{failed:?}");
        let few = connection.query("second", vec![Value::Null], &account).await;
        assert!(matches!(few, Err(QueryError::Parameters { required: 0, given: 1 })), "{few:?}");
        let none = connection.query("third", Vec::new(), &account).await;
        assert!(matches!(none, Err(QueryError::NoRows)), "{none:?}");
    };
    let serve = async {
        server.prepare().await;
        server.say(&[&[1], &column, END, &row(1), b"\xff\x25\x05#70100killed"]).await;
        server.command(0x19).await;
        server.command(0x16).await;
        server.say(&[&[0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]).await;
        server.command(0x19).await;
        server.command(0x16).await;
        server.say(&[&[0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]).await;
        server.command(0x17).await;
        server.say(&[OK]).await;
    };
    tokio::join!(ask, serve);
}

#[tokio::test]
async fn an_exchange_that_was_given_up_leaves_no_connection() {
    let (connection, _server, account) = connected().await;
    assert!(connection.query("first", Vec::new(), &account).now_or_never().is_none());
    let again = connection.execute("second", Vec::new(), &account).await;
    assert!(matches!(again, Err(QueryError::Lost(Lost::GivenUp))), "{again:?}");
    assert_eq!(account.held(), 0);
}

#[tokio::test]
async fn what_does_not_fit_into_the_account_breaks_the_connection() {
    let (connection, mut server, _) = connected().await;
    let account = Account::new(64 << 10);
    let text = [&[0, 0, 0xfd, 0x40, 0x42, 0x0f][..], &[b'x'; 1_000_000]].concat();
    let ask = async {
        let mut rows = connection.query("first", Vec::new(), &account).await.unwrap();
        let over = rows.next(&mut account.charge(0).unwrap()).await;
        assert!(matches!(over, Err(QueryError::OverAccount(_))), "{over:?}");
        drop(rows);
        let again = connection.execute("second", Vec::new(), &account).await;
        assert!(matches!(again, Err(QueryError::Lost(Lost::GivenUp))), "{again:?}");
    };
    let serve = async {
        server.prepare().await;
        server.say(&[&[1], &definition("c", 253, 0), END, &text]).await;
    };
    tokio::join!(ask, serve);
    assert_eq!(account.held(), 0);
}
