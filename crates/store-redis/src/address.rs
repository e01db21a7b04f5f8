//! Where the server is: what the URL says.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

/// A server, or those that know where it is.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Single(Box<ConnectionInfo>),
    /// `guards` is the login of the sentinels themselves.
    Sentinel {
        sentinels: Vec<ConnectionAddr>,
        master: String,
        login: Login,
        guards: Login,
        tls: bool,
    },
    Cluster {
        nodes: Vec<ConnectionInfo>,
    },
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) db: i64,
}

/// How a URL must look.
const FORMS: &str = "redis://[user:password@]host[:port][/database], rediss:// for TLS, unix:///path/of/socket, \
    redis+sentinel://[user:password@]host[:port][,host…]/master[/database][?sentinelUser=…&sentinelPassword=…] or redis+cluster://[user:password@]host[:port][,host…]";

/// The address that a URL names, and how it is shown (without a password).
pub(crate) fn parse(url: &str) -> Result<(Address, String), String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("is not a URL; use {FORMS}"))?;
    let place = shown(scheme, rest);
    let address = match scheme {
        "redis" | "rediss" | "valkey" | "valkeys" | "unix" | "redis+unix" => {
            let info = url.into_connection_info().map_err(|error| format!("cannot be read ({error}); use {FORMS}"))?;
            let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
            Address::Single(Box::new(info.set_redis_settings(settings)))
        }
        "redis+sentinel" | "rediss+sentinel" => {
            let tls = scheme.starts_with("rediss");
            let (login, hosts, path, query) = split(rest)?;
            let mut path = path.split('/');
            let master =
                path.next().filter(|name| !name.is_empty()).ok_or("names no master: redis+sentinel://host:26379/master")?;
            let db = match path.next() {
                None | Some("") => 0,
                Some(number) => number.parse().map_err(|_| format!("has no database {number}"))?,
            };
            let sentinels = hosts.iter().map(|(host, port)| place_of(host, port.unwrap_or(26_379), tls)).collect();
            Address::Sentinel { sentinels, master: decoded(master)?, login: Login { db, ..login }, guards: guards(query)?, tls }
        }
        "redis+cluster" | "rediss+cluster" => {
            let tls = scheme.starts_with("rediss");
            let (login, hosts, ..) = split(rest)?;
            let node = |(host, port): &(String, Option<u16>)| {
                let info =
                    place_of(host, port.unwrap_or(6_379), tls).into_connection_info().map_err(|error| error.to_string())?;
                Ok(info.set_redis_settings(login.settings()))
            };
            Address::Cluster { nodes: hosts.iter().map(node).collect::<Result<_, String>>()? }
        }
        _ => return Err(format!("has the scheme {scheme}, which is none of ours; use {FORMS}")),
    };
    Ok((address, place))
}

impl Login {
    /// What every connection is set up with.
    pub(crate) fn settings(&self) -> RedisConnectionInfo {
        let mut settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_db(self.db);
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        settings
    }
}

fn place_of(host: &str, port: u16, tls: bool) -> ConnectionAddr {
    if tls {
        ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host.to_owned(), port)
    }
}

/// The URL without what is secret.
fn shown(scheme: &str, rest: &str) -> String {
    // The path of a socket may have an @, and its password comes behind it.
    let hosts = if scheme.contains("unix") { rest } else { rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts) };
    format!("{scheme}://{}", hosts.split('?').next().unwrap_or_default())
}

type Hosts = Vec<(String, Option<u16>)>;

/// The login, the hosts, the path and what is behind the `?`.
fn split(rest: &str) -> Result<(Login, Hosts, &str, &str), String> {
    let (login, rest) = match rest.rsplit_once('@') {
        Some((login, rest)) => {
            let (user, password) = login.split_once(':').unwrap_or(("", login));
            let some = |text: &str| if text.is_empty() { Ok(None) } else { decoded(text).map(Some) };
            (Login { user: some(user)?, password: some(password)?, db: 0 }, rest)
        }
        None => (Login::default(), rest),
    };
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let host = |text: &str| {
        // An IPv6 address stands in brackets.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = port.map(|port| port.parse().map_err(|_| format!("has a port {port}, which is no port"))).transpose()?;
        Ok((host.trim_matches(['[', ']']).to_owned(), port))
    };
    let hosts: Hosts = hosts.split(',').filter(|text| !text.is_empty()).map(host).collect::<Result<_, String>>()?;
    if hosts.is_empty() { Err(format!("names no host; use {FORMS}")) } else { Ok((login, hosts, path, query)) }
}

/// The login of sentinels that ask for one.
fn guards(query: &str) -> Result<Login, String> {
    let mut guards = Login::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sentinelUser", user)) => guards.user = Some(decoded(user)?),
            Some(("sentinelPassword", password)) => guards.password = Some(decoded(password)?),
            other => {
                let name = other.map_or(pair, |(name, _)| name);
                return Err(format!("has a parameter {name}; there are sentinelUser and sentinelPassword"));
            }
        }
    }
    Ok(guards)
}

fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let hex: Option<String> = rest.next().zip(rest.next()).map(|(a, b)| [a, b].map(char::from).iter().collect());
        let value = hex.and_then(|hex| u8::from_str_radix(&hex, 16).ok()).ok_or("has a % that begins no escape; write %25")?;
        bytes.push(value);
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for url in [
            "redis://user:secret@host:7000/2",
            "rediss://:secret@host",
            "redis+sentinel://:secret@a:1,b/main/3",
            "redis+sentinel://a:1/main?sentinelPassword=secret",
            "redis+cluster://me:secret@[::1]:7000,b",
            "unix:///run/a@b.sock?user=me&pass=secret@1",
        ] {
            let (_, place) = parse(url).expect("a URL");
            assert!(!place.contains("secret"), "{place}");
        }
    }

    #[test]
    fn a_sentinel_has_hosts_a_master_and_a_database() {
        let url = "redis+sentinel://u:p%40ss@a:1,[::2],c/main/3?sentinelUser=s&sentinelPassword=%26";
        let Ok((Address::Sentinel { sentinels, master, login, guards, tls }, _)) = parse(url) else { panic!("a sentinel") };
        let tcp = |host: &str, port| ConnectionAddr::Tcp(host.into(), port);
        assert_eq!(sentinels, [tcp("a", 1), tcp("::2", 26_379), tcp("c", 26_379)]);
        assert_eq!((master.as_str(), login.db, login.password.as_deref(), tls), ("main", 3, Some("p@ss"), false));
        assert_eq!((guards.user.as_deref(), guards.password.as_deref()), (Some("s"), Some("&")));
    }

    #[test]
    fn what_is_no_address_is_told_how_one_looks() {
        for url in [
            "localhost:6379",
            "http://host",
            "redis+sentinel://host",
            "redis+cluster://",
            "redis+cluster://host:port",
            "redis+sentinel://host/main?password=x",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
    }
}
