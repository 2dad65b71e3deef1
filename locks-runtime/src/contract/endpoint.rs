//! Addresses and time limits of servers on a network, checked before anything is sent.

use std::time::Duration;

/// How long one request may take: a part of the time that a caller is ready to wait for the first connection, a third or half of it, so
/// that a second attempt has a chance.
pub(crate) fn request_timeout(connect_timeout: Duration, part: u32) -> Duration {
    (connect_timeout / part).clamp(Duration::from_millis(500), Duration::from_secs(5))
}

/// Host and port of `host:port`, the host without the brackets of an IPv6 address.
pub(crate) fn endpoint_parts(endpoint: &str) -> Option<(&str, u16)> {
    let (host, port) = endpoint.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok().then_some((address, port)),
        None => (!host.is_empty() && host.chars().all(is_plain)).then_some((host, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_takes_a_part_of_the_time_within_half_a_second_and_five() {
        let cases = [
            (0, 3, 500),
            (1499, 3, 500),
            (1800, 3, 600),
            (6000, 3, 2000),
            (6000, 2, 3000),
            (14_997, 3, 4999),
            (15_003, 3, 5000),
            (600_000, 3, 5000),
        ];
        for (connect, part, timeout) in cases {
            let connect = Duration::from_millis(connect);
            assert_eq!(request_timeout(connect, part), Duration::from_millis(timeout), "{connect:?} / {part}");
        }
    }

    #[test]
    fn endpoints_are_host_and_port() {
        let good = [
            ("a:2379", "a"),
            ("10.0.0.1:1", "10.0.0.1"),
            ("[::1]:2379", "::1"),
            ("my_etcd-0.svc:2379", "my_etcd-0.svc"),
        ];
        for (endpoint, host) in good {
            assert_eq!(endpoint_parts(endpoint).map(|(host, _)| host), Some(host));
        }
        for bad in ["", "a", "a:", ":2379", "a:0", "a:99999", "http://a:1", "u@a:1", "::1:2379", "a b:1"] {
            assert_eq!(endpoint_parts(bad), None, "{bad}");
        }
    }
}
