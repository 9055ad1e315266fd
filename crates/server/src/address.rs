//! Whom a connection comes from, also behind proxies, and how much one address may do.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use peerloom_core::hub::{Bucket, Rate};
use peerloom_core::time::Time;

/// An address, or all that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: u128,
    mask: u128,
}

/// One space for both versions: IPv4 in its IPv6 form (RFC 4291 section 2.5.5.2).
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
        IpAddr::V6(address) => u128::from(address),
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let problem = || format!("{text} is not an address or network");
        let address: IpAddr = address.parse().map_err(|_| problem())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), str::parse).map_err(|_| problem())?;
        if bits > width {
            return Err(problem());
        }
        let mask = u128::MAX.checked_shl(width - bits).unwrap_or(0);
        Ok(Self {
            address: number(address) & mask,
            mask,
        })
    }
}

impl Network {
    /// Whether `address` is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        number(address) & self.mask == self.address
    }
}

/// Who is at the other end: the last address in `forwarded` (X-Forwarded-For) that is no trusted proxy's, if `peer` is
/// one; else `peer`.
#[must_use]
pub fn client(peer: IpAddr, forwarded: Option<&str>, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
    let mut client = peer;
    for text in forwarded.unwrap_or_default().rsplit(',') {
        if !is_trusted(client) {
            break;
        }
        let Ok(address) = text.trim().parse() else {
            break;
        };
        client = address;
    }
    client
}

/// What counts as one: an IPv4 address, or an IPv6 network of 64 bits, which is what one customer gets.
fn unit(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(u128::from(address) & (u128::MAX << 64))),
        v4 => v4,
    }
}

/// Idle addresses that are remembered while their budgets fill up again.
const REMEMBERED: usize = 10_000;

#[derive(Debug)]
struct Entry {
    held: usize,
    opens: Bucket,
}

/// What each address has open, and how often it opened something lately.
#[derive(Debug)]
pub struct Addresses {
    limit: usize,
    rate: Rate,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    entries: HashMap<IpAddr, Entry>,
    /// The number of entries at which those that are no longer needed are looked for.
    sweep_at: usize,
}

/// One place that an address holds, until it is dropped.
#[derive(Debug)]
pub struct Place {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    /// At most `limit` places at once for each address, and `rate` opens.
    #[must_use]
    pub fn new(limit: usize, rate: Rate) -> Arc<Self> {
        Arc::new(Self {
            limit,
            rate,
            table: Mutex::new(Table {
                entries: HashMap::new(),
                sweep_at: REMEMBERED,
            }),
        })
    }

    fn entry<R>(&self, now: Time, address: IpAddr, f: impl FnOnce(&mut Entry) -> R) -> R {
        // Nothing in here panics half-way; a poisoned table is as good as any.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let Table { entries, sweep_at } = &mut *table;
        if entries.len() >= *sweep_at && !entries.contains_key(&address) {
            entries.retain(|_, entry| entry.held > 0 || !entry.opens.is_full(now));
            if entries.len() >= REMEMBERED {
                // Too many to remember; those who have something open remain.
                entries.retain(|_, entry| entry.held > 0);
            }
            // So that a sweep costs little for each address that led to it.
            *sweep_at = entries.len() * 2 + REMEMBERED;
        }
        f(entries.entry(address).or_insert_with(|| Entry {
            held: 0,
            opens: Bucket::new(self.rate, now),
        }))
    }

    /// A place for one more connection; `None` if the address has its share.
    #[must_use]
    pub fn hold(self: &Arc<Self>, now: Time, address: IpAddr) -> Option<Place> {
        let address = unit(address);
        self.entry(now, address, |entry| {
            (entry.held < self.limit).then(|| {
                entry.held += 1;
                Place {
                    addresses: self.clone(),
                    address,
                }
            })
        })
    }

    /// Counts an opened WebSocket.
    ///
    /// # Errors
    /// Milliseconds until the next is allowed.
    pub fn open(&self, now: Time, address: IpAddr) -> Result<(), u64> {
        self.entry(now, unit(address), |entry| entry.opens.take(now))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self
            .addresses
            .table
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = table.entries.get_mut(&self.address) {
            entry.held = entry.held.saturating_sub(1);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_listed_proxies_are_believed() {
        let trusted: Vec<Network> = ["10.0.0.0/8", "::1"].map(|text| text.parse().unwrap()).to_vec();
        for (peer, forwarded, expected) in [
            ("192.0.2.1", Some("198.51.100.1"), "192.0.2.1"),
            ("10.0.0.1", Some("198.51.100.1"), "198.51.100.1"),
            ("::ffff:10.0.0.1", Some("198.51.100.1"), "198.51.100.1"),
            (
                "10.0.0.1",
                Some("203.0.113.9, 198.51.100.1, 10.2.3.4"),
                "198.51.100.1",
            ),
            ("10.0.0.1", Some("203.0.113.9, rubbish"), "10.0.0.1"),
            ("::1", Some("2001:db8::7"), "2001:db8::7"),
            ("10.0.0.1", None, "10.0.0.1"),
            ("10.0.0.1", Some(""), "10.0.0.1"),
        ] {
            assert_eq!(
                client(ip(peer), forwarded, &trusted),
                ip(expected),
                "{peer} {forwarded:?}"
            );
        }
    }

    #[test]
    fn networks_are_parsed_or_refused() {
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains(ip("8.8.8.8")) && !all.contains(ip("2001:db8::1")));
        let six: Network = "2001:db8::/32".parse().unwrap();
        assert!(six.contains(ip("2001:db8:ffff::1")) && !six.contains(ip("2001:db9::1")));
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "x", "10.0.0.1/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_address_has_its_share() {
        let addresses = Addresses::new(2, Rate::new(1, 2));
        let first = addresses.hold(Time(0), ip("192.0.2.1"));
        let _second = addresses.hold(Time(0), ip("::ffff:192.0.2.1"));
        assert!(first.is_some() && addresses.hold(Time(0), ip("192.0.2.1")).is_none());
        assert!(addresses.hold(Time(0), ip("192.0.2.2")).is_some());
        drop(first);
        assert!(addresses.hold(Time(0), ip("192.0.2.1")).is_some());
        let six = [ip("2001:db8::1"), ip("2001:db8::2"), ip("2001:db8::3")];
        assert_eq!(
            six.map(|address| addresses.open(Time(0), address)),
            [Ok(()), Ok(()), Err(1000)]
        );
        assert_eq!(addresses.open(Time(0), ip("2001:db8:0:1::1")), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let addresses = Addresses::new(2, Rate::new(1, 2));
        for n in 0..200_000_u32 {
            let _ = addresses.open(Time(0), IpAddr::V4(n.into()));
        }
        assert!(addresses.table.lock().unwrap().entries.len() <= 2 * REMEMBERED);
    }
}
