//! Addresses that nobody may reach: `block_networks` of Spin's runtime configuration, and the host's own admin listener.
//! Pure, but for the question which addresses are this machine's own.

use bobbin_manifest::Network;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// What is blocked.
#[derive(Debug, Clone, Default)]
pub(super) struct Blocked {
    pub(super) networks: Vec<Network>,
    /// Whatever is not for everybody: loopback, link-local, private networks and the like.
    pub(super) private: bool,
}

impl Blocked {
    /// An address is looked at in each form in which a packet to it may arrive.
    pub(super) fn covers(&self, address: IpAddr) -> bool {
        let listed = |address| self.networks.iter().any(|network| network.contains(address));
        let covers = |address| listed(address) || (self.private && !is_public(address));
        covers(address) || embedded(address).is_some_and(|v4| covers(IpAddr::V4(v4)))
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, or behind a translator.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let translated = || match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low))),
        _ => None,
    };
    v6.to_ipv4().or_else(translated)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// As in the registry of special-purpose addresses.
fn is_public_v4(v4: Ipv4Addr) -> bool {
    let special = match v4.octets() {
        [0, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] | [240..=255, ..] => true,
        [100, second, ..] => (64..128).contains(&second),
        _ => false,
    };
    !(special
        || v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_documentation()
        || v4.is_broadcast()
        || v4.is_multicast())
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    // Whatever is for everybody is in 2000::/3, and the translators' network is judged by what is behind it.
    let for_everybody = matches!(v6.segments(), [0x2000..=0x3fff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, _, _]);
    let documentation = matches!(v6.segments(), [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..]);
    let mapped = v6.to_ipv4_mapped().is_some();
    (for_everybody && !documentation) || mapped
}

/// Whether a connection to this address arrives at a listener of this host that is bound to the other one.
pub(super) fn arrives(asked: SocketAddr, listener: SocketAddr) -> bool {
    let (asked_ip, own) = (asked.ip().to_canonical(), listener.ip().to_canonical());
    // Linux takes the address of nobody for the host itself.
    let loopback = asked_ip.is_loopback() || asked_ip.is_unspecified();
    let reaches = || {
        asked_ip == own
            || (own.is_unspecified() && (loopback || is_own(asked_ip)))
            || (asked_ip.is_unspecified() && own.is_loopback())
    };
    asked.port() == listener.port() && reaches()
}

/// Whether this machine has the address: only then may a socket be bound to it.
fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_not_for_everybody_is_private() {
        let blocked = Blocked { networks: Vec::new(), private: true };
        for private in [
            "0.0.0.0",
            "10.10.10.10",
            "100.64.1.1",
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.10.10.10",
            "64:ff9b::10.0.0.1",
            "fc00::f00d",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
        ] {
            assert!(blocked.covers(ip(private)), "{private}");
        }
        for public in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "123.123.123.123",
            "2600::beef",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(!blocked.covers(ip(public)), "{public}");
        }
    }

    #[test]
    fn networks_are_blocked_in_each_form_of_their_addresses() {
        let networks = ["123.123.0.0/16", "2001::/96"].map(|network| network.parse().unwrap()).to_vec();
        let blocked = Blocked { networks, private: false };
        for covered in ["123.123.123.123", "2001::1000", "::ffff:123.123.123.123", "::123.123.0.1"] {
            assert!(blocked.covers(ip(covered)), "{covered}");
        }
        for free in ["123.100.100.100", "2002::1000", "127.0.0.1", "::1"] {
            assert!(!blocked.covers(ip(free)), "{free}");
        }
        assert!(!Blocked::default().covers(ip("127.0.0.1")), "nothing is blocked where nobody says so, as in Spin");
    }

    #[test]
    fn a_listener_is_reached_by_more_than_its_own_name() {
        let arrives = |asked: &str, listener: &str| arrives(asked.parse().unwrap(), listener.parse().unwrap());
        for asked in ["127.0.0.1:3001", "[::ffff:127.0.0.1]:3001", "0.0.0.0:3001"] {
            assert!(arrives(asked, "127.0.0.1:3001"), "{asked}");
        }
        assert!(arrives("[::1]:3001", "[::]:3001") && arrives("127.0.0.1:3001", "0.0.0.0:3001"));
        for asked in ["127.0.0.1:3000", "127.0.0.2:3001", "10.0.0.1:3001"] {
            assert!(!arrives(asked, "127.0.0.1:3001"), "{asked}");
        }
        assert!(!arrives("203.0.113.1:3001", "0.0.0.0:3001"), "nobody has an address that is for documents");
    }

    #[test]
    fn a_listener_on_every_address_is_reached_by_each_that_the_machine_has() {
        // Nothing is sent: the system says which address it would send from.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("203.0.113.1:9").is_err() {
            // This machine has no address but its loopback ones.
            return;
        }
        let own = SocketAddr::new(socket.local_addr().unwrap().ip(), 3001);
        assert!(arrives(own, "0.0.0.0:3001".parse().unwrap()), "{own}");
        assert!(arrives(own, "[::]:3001".parse().unwrap()), "{own}");
        assert!(!arrives(own, "127.0.0.1:3001".parse().unwrap()), "{own}");
    }
}
