//! Whether the server takes writes, and which one it is.

use std::sync::Arc;
use std::time::Duration;

use master_agent_store::{Reply, ServerInfo, StoreError};
use parking_lot::Mutex;
use redis::Value;

use crate::link::{Done, LAYOUT};
use crate::names::PREFIX;
use crate::script::Call;
use crate::{RedisStore, value};

/// Two commands in one round trip. The key is there, so that `SET … NX` changes nothing; but it is refused where any write
/// would be: a replica, no memory, a disk that is full.
pub(crate) fn check(store: &RedisStore, within: Duration, reply: Reply<Option<ServerInfo>>) {
    let both = Arc::new(Mutex::new(Both { server: None, wrote: None, reply: Some(reply) }));
    let half = |set: fn(&mut Both, Result<Value, StoreError>)| -> Done {
        let both = Arc::clone(&both);
        Box::new(move |outcome| {
            let mut both = both.lock();
            set(&mut both, outcome);
            if both.server.is_none() || both.wrote.is_none() {
                return;
            }
            let (server, wrote, reply) = (both.server.take().flatten(), both.wrote.take(), both.reply.take());
            // No lock is held over a reply.
            drop(both);
            if let Some((wrote, reply)) = wrote.zip(reply) {
                reply(wrote.map(|()| server));
            }
        })
    };
    // Whoever may not ask is not told.
    let hello = half(|both, outcome| both.server = Some(outcome.ok().and_then(|answer| read(&answer))));
    let write = half(|both, outcome| both.wrote = Some(outcome.map(|_| ())));
    let version = format!("{PREFIX}v");
    let set = Call::command(&[b"SET", version.as_bytes(), LAYOUT.to_string().as_bytes(), b"NX"]);
    store.link().submit_within(within, Call::command(&[b"HELLO"]), None, hello);
    store.link().submit_within(within, set, None, write);
}

/// The two answers, which in a Cluster come from two servers.
struct Both {
    server: Option<Option<ServerInfo>>,
    wrote: Option<Result<(), StoreError>>,
    reply: Option<Reply<Option<ServerInfo>>>,
}

fn read(answer: &Value) -> Option<ServerInfo> {
    let pairs = value::pairs(answer);
    let find = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, text)| Box::from(*text));
    Some(ServerInfo { name: find("server")?, version: find("version")?, mode: find("mode")? })
}
