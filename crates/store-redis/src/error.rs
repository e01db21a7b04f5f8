//! What Redis answers as errors of the port: a code, and what to do.

use master_agent_core::ErrorCode;
use master_agent_store::StoreError;
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What is to be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cure {
    /// The connection is gone: what was sent may have been carried out.
    Reconnect,
    /// The server refused it for now: it was not carried out.
    Wait,
    /// The same, and another server may be the one to ask.
    WaitElsewhere,
    /// The server does not know our scripts any more.
    Load,
    /// Nothing helps.
    None,
}

pub(crate) fn cure(error: &RedisError) -> Cure {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoScript) => Cure::Load,
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => Cure::WaitElsewhere,
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask,
        ) => Cure::Wait,
        ErrorKind::Server(_) | ErrorKind::Extension => match error.code() {
            Some("BUSY" | "UNKILLABLE") => Cure::Wait,
            // A script that meets a replica says so in its own words.
            _ if error.to_string().contains("READONLY") => Cure::WaitElsewhere,
            _ => Cure::None,
        },
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound | ErrorKind::Parse => Cure::Reconnect,
        _ if error.is_unrecoverable_error() || error.is_timeout() => Cure::Reconnect,
        _ => Cure::None,
    }
}

fn server(code: ErrorCode, place: &str, problem: impl Into<String>) -> StoreError {
    StoreError::Server { code, place: place.to_owned(), problem: problem.into() }
}

/// The error that a caller gets.
pub(crate) fn from_redis(error: &RedisError, place: &str) -> StoreError {
    let text = error.to_string();
    let code = error.code().unwrap_or_default();
    let says = |word: &str| code == word || text.contains(word);
    if says("OOM") {
        return server(
            ErrorCode::StoreFull,
            place,
            "Redis is out of memory; raise maxmemory or remove some data and call again, nothing was written",
        );
    }
    if says("MISCONF") {
        return server(
            ErrorCode::StoreFull,
            place,
            "Redis cannot write its snapshot and takes no writes; free its disk (or see stop-writes-on-bgsave-error) and call again, nothing was written",
        );
    }
    if says("READONLY") || says("NOREPLICAS") {
        return server(
            ErrorCode::StoreReadOnly,
            place,
            format!("Redis takes no writes ({text}); connect to the primary, by redis+sentinel:// where there is a Sentinel"),
        );
    }
    if says("LOADING") {
        return server(ErrorCode::StoreUnreachable, place, "Redis is still loading its data; call again in a moment");
    }
    if says("WRONGPASS") || says("NOAUTH") || error.kind() == ErrorKind::AuthenticationFailed {
        return server(
            ErrorCode::StoreDenied,
            place,
            "Redis refuses the user name or password; set them in REDIS_URL (redis://user:password@host:port) or REDIS_PASSWORD",
        );
    }
    if says("NOPERM") {
        return server(
            ErrorCode::StoreDenied,
            place,
            format!("the ACL user may not do this ({text}); docs/redis.md lists the rules that it needs"),
        );
    }
    if text.contains("DB index") || text.contains("invalid DB") {
        return server(
            ErrorCode::StoreOpen,
            place,
            "there is no such database; use one that the server has (the number at the end of the URL; 0 in a Cluster)",
        );
    }
    if says("WRONGTYPE") {
        return server(
            ErrorCode::StoreCorrupt,
            place,
            "a key that begins with ma: holds something that this package did not write; remove it, or use another database",
        );
    }
    if cure(error) != Cure::None {
        return unreachable(place, &text);
    }
    StoreError::Failed { place: place.to_owned(), cause: text }
}

pub(crate) fn unreachable(place: &str, cause: &str) -> StoreError {
    server(
        ErrorCode::StoreUnreachable,
        place,
        format!("Redis did not answer in time ({cause}); check that it runs and can be reached, and call again"),
    )
}

pub(crate) fn broken(place: &str, what: &str) -> StoreError {
    StoreError::Corrupt { place: place.to_owned(), cause: format!("{what} is not as this package writes it") }
}
