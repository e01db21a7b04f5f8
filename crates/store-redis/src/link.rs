//! The connection: one thread that sends what is submitted, in that order, and hands out the answers.
//!
//! Operations are pipelined. When the connection breaks, those that were not answered are kept, sent again over the next
//! one, and marked, so that the scripts recognise what they did before. Each has a time by which it is answered, also if
//! Redis stays away.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use master_agent_core::ErrorCode;
use master_agent_store::StoreError;
use parking_lot::Mutex;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionInfo, PushInfo, PushKind, RedisError, RedisResult, TlsMode, Value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::address::Address;
use crate::error::{Cure, cure, from_redis, unreachable};
use crate::names::PREFIX;
use crate::script::{Call, Script, Scripts};

/// The layout of the keys that this package writes; it grows with changes that an older package would not understand.
pub(crate) const LAYOUT: i64 = 2;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take before the connection is taken for dead.
const ANSWER: Duration = Duration::from_secs(4);
/// The waits between attempts to connect: they double, with a share drawn at random.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// The longest while somebody waits for an answer.
const LONGEST_AWAITED: Duration = Duration::from_millis(500);
/// The wait after an answer like LOADING.
const PAUSE: Duration = Duration::from_millis(50);
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long the thread looks for what comes before it sleeps, where the wait before was as short: waking an idle core takes longer.
const LINGER: Duration = Duration::from_micros(100);
/// Who gives up the core for longer than this has others waiting for it, and does not look for so long again.
const CONTENDED: Duration = Duration::from_micros(200);
const CONTENDED_FOR: Duration = Duration::from_millis(20);

pub(crate) type Done = Box<dyn FnOnce(Result<Value, StoreError>) + Send>;

/// A claim: the queue's key, the worker's number, and when it was made.
pub(crate) type Lost = (Vec<u8>, i64, i64);

/// Something to be carried out.
pub(crate) struct Op {
    pub(crate) call: Call,
    /// What must be given back first where the answer to a claim was lost.
    pub(crate) claim: Option<Lost>,
    pub(crate) deadline: Instant,
    pub(crate) done: Done,
}

enum Order {
    Do(Op),
    Subscribe(Vec<u8>, bool),
    Close(Box<dyn FnOnce() + Send>),
}

/// What the connection tells on its own account.
pub(crate) trait Ears: Send + Sync {
    fn message(&self, channel: &[u8], payload: &[u8]);
    /// A connection was made: what happened in between was not heard.
    fn connected(&self);
    fn lost(&self, error: &StoreError);
    fn warning(&self, text: &str);
    /// Nothing comes after this.
    fn closed(&self);
    /// The newest token that the worker knows of, for a claim whose answer was lost.
    fn newest_token(&self, worker: i64) -> i64;
}

/// The handle to the thread.
pub(crate) struct Link {
    orders: UnboundedSender<Order>,
    closed: AtomicBool,
    place: String,
    timeout: Mutex<Duration>,
}

impl Link {
    pub(crate) fn start(address: Address, place: String, timeout: Duration, ears: Weak<dyn Ears>) -> std::io::Result<Self> {
        let (orders, incoming) = unbounded_channel();
        let name = place.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("master-agent-redis".into()).spawn(move || {
            let driver = Driver::new(address, name, incoming, ears);
            runtime.block_on(driver.run());
        })?;
        Ok(Self { orders, closed: AtomicBool::new(false), place, timeout: Mutex::new(timeout) })
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn submit(&self, call: Call, claim: Option<Lost>, done: Done) {
        let within = *self.timeout.lock();
        self.submit_within(within, call, claim, done);
    }

    /// Submits what belongs to an operation that was submitted before, in the callback of that: a close waits for it too.
    pub(crate) fn follow(&self, call: Call, done: Done) {
        let deadline = Instant::now() + *self.timeout.lock();
        self.order(Op { call, claim: None, deadline, done });
    }

    /// The same for a call that does not wait as long as others for a server that is away.
    pub(crate) fn submit_within(&self, within: Duration, call: Call, claim: Option<Lost>, done: Done) {
        if self.closed.load(Ordering::Acquire) {
            return done(Err(StoreError::Closed));
        }
        self.order(Op { call, claim, deadline: Instant::now() + within, done });
    }

    fn order(&self, op: Op) {
        if let Err(refused) = self.orders.send(Order::Do(op))
            && let Order::Do(op) = refused.0
        {
            (op.done)(Err(StoreError::Closed));
        }
    }

    pub(crate) fn subscribe(&self, channel: Vec<u8>, on: bool) {
        let _ = self.orders.send(Order::Subscribe(channel, on));
    }

    /// Refuses what comes later, finishes what was submitted, and then calls `done`.
    pub(crate) fn close(&self, done: Box<dyn FnOnce() + Send>) {
        self.closed.store(true, Ordering::Release);
        if let Err(refused) = self.orders.send(Order::Close(done))
            && let Order::Close(done) = refused.0
        {
            done();
        }
    }
}

#[derive(Clone)]
enum Wire {
    Single(MultiplexedConnection),
    /// What is sent, and what is heard: every server of a Cluster passes messages on. The client would move subscriptions with the slots,
    /// but takes the confirmations of several for the answers of what it sent next.
    Cluster(ClusterConnection, MultiplexedConnection),
}

impl Wire {
    async fn send(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        let value = match self {
            Self::Single(connection) => connection.req_packed_command(cmd).await,
            Self::Cluster(connection, _) => connection.req_packed_command(cmd).await,
        }?;
        value.extract_error()
    }

    async fn subscribe(&mut self, channel: &[u8], on: bool) -> RedisResult<()> {
        let (Self::Single(connection) | Self::Cluster(_, connection)) = self;
        if on { connection.subscribe(channel).await } else { connection.unsubscribe(channel).await }
    }
}

type Flight = Pin<Box<dyn Future<Output = (u64, RedisResult<Value>)>>>;

/// Why serving ended.
enum Ending {
    Closed,
    Broken(RedisError),
    /// Scripts are to be loaded, or a moment is to pass, and then it goes on over the same connection.
    Pause(Cure),
}

/// What was refused for now, in its order, and what it waits for.
#[derive(Default)]
struct Refused {
    ops: BTreeMap<u64, Op>,
    pause: Option<(Cure, RedisError)>,
}

/// Commands that are on their way in a Cluster, whose client keeps the order of as many as its smallest buffer holds.
const MOST_IN_CLUSTER: usize = 32;

/// Commands that wait to be written; more than anybody submits, as the first that finds no place comes out of its order.
const MOST_UNSENT: usize = 1 << 24;

/// Whether to look for what comes or to sleep until it does, as the halt polling of virtual machines decides it: by how long the
/// wait before was. Answers and orders come at times of their own.
struct Linger {
    short: [bool; 2],
    began: Instant,
    looking: bool,
    not_before: Instant,
}

impl Linger {
    fn new() -> Self {
        let now = Instant::now();
        Self { short: [false; 2], began: now, looking: false, not_before: now }
    }

    /// Something came after a wait for an answer, or for an order.
    fn came(&mut self, awaited: bool, awaits: bool) {
        let now = Instant::now();
        self.short[usize::from(awaited)] = now.duration_since(self.began) <= LINGER;
        self.began = now;
        self.looking = self.short[usize::from(awaits)] && now >= self.not_before;
    }

    /// Gives others the core, and looks at the connection.
    async fn turn(&mut self) {
        let before = Instant::now();
        std::thread::yield_now();
        let now = Instant::now();
        if now.duration_since(before) > CONTENDED {
            self.not_before = now + CONTENDED_FOR;
        }
        self.looking = now >= self.not_before && now.duration_since(self.began) <= LINGER;
        tokio::task::yield_now().await;
    }
}

struct Driver {
    address: Address,
    place: String,
    incoming: UnboundedReceiver<Order>,
    ears: Weak<dyn Ears>,
    scripts: Scripts,
    channels: Vec<Vec<u8>>,
    /// Sent and not answered, in the order of sending.
    sent: BTreeMap<u64, Op>,
    next: u64,
    /// To be sent before anything new.
    again: VecDeque<Op>,
    /// Claims whose answers were lost.
    lost_claims: Vec<Lost>,
    closing: Vec<Box<dyn FnOnce() + Send>>,
    ended: bool,
    warned: bool,
    pushes: (UnboundedSender<PushInfo>, UnboundedReceiver<PushInfo>),
}

impl Driver {
    fn new(address: Address, place: String, incoming: UnboundedReceiver<Order>, ears: Weak<dyn Ears>) -> Self {
        let scripts = Scripts { guarded: matches!(address, Address::Cluster { .. }), ..Scripts::default() };
        Self {
            address,
            place,
            incoming,
            ears,
            scripts,
            channels: Vec::new(),
            sent: BTreeMap::new(),
            next: 0,
            again: VecDeque::new(),
            lost_claims: Vec::new(),
            closing: Vec::new(),
            ended: false,
            warned: false,
            pushes: unbounded_channel(),
        }
    }

    async fn run(mut self) {
        let mut wait = FIRST_WAIT;
        // Why the server cannot be used, as far as is known.
        let mut cause = "it cannot be reached".to_owned();
        loop {
            let address = self.address.clone();
            // The end of the last connection may still be on its way: it is not that of the next one.
            self.pushes = unbounded_channel();
            let mut attempt = Box::pin(tokio::time::timeout(CONNECT * 2, connect(&address, self.pushes.0.clone())));
            let wire = {
                loop {
                    tokio::select! {
                        biased;
                        wire = &mut attempt => break wire,
                        () = tokio::time::sleep(TICK) => self.look_at_deadlines(&cause),
                    }
                    if self.is_done() {
                        return self.finish();
                    }
                }
            };
            let (error, why) = match wire {
                Ok(Ok(mut wire)) => match self.set_up(&mut wire).await {
                    Ok(()) => {
                        if let Some(ears) = self.ears.upgrade() {
                            ears.connected();
                        }
                        wait = FIRST_WAIT;
                        match self.serve_until_broken(&mut wire).await {
                            None => return self.finish(),
                            Some(error) => (from_redis(&error, &self.place), error.to_string()),
                        }
                    }
                    Err(error) => {
                        let why = error.to_string();
                        (error, why)
                    }
                },
                Ok(Err(error)) => {
                    let why = error.to_string();
                    if cure(&error) == Cure::None || is_refusal(&error) {
                        (from_redis(&error, &self.place), why)
                    } else {
                        (unreachable(&self.place, &why), why)
                    }
                }
                Err(_) => {
                    let why = "the connection takes too long";
                    (unreachable(&self.place, why), why.to_owned())
                }
            };
            cause = why;
            self.keep_what_was_sent();
            if let Some(ears) = self.ears.upgrade() {
                ears.lost(&error);
            }
            // Others know of a better server soon.
            let moves = error.code() == ErrorCode::StoreReadOnly && !matches!(self.address, Address::Single(_));
            if !error.code().retryable() && !moves {
                self.refuse_all(&error);
            }
            let until = Instant::now() + wait.mul_f64(0.5 + fastrand::f64());
            wait = (wait * 2).min(LONGEST_WAIT);
            let awaited = Instant::now() + LONGEST_AWAITED;
            while Instant::now() < until && (self.again.is_empty() || Instant::now() < awaited) {
                tokio::time::sleep(TICK.min(until.saturating_duration_since(Instant::now()))).await;
                self.look_at_deadlines(&cause);
                if self.is_done() {
                    return self.finish();
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        (self.ended || !self.closing.is_empty()) && self.sent.is_empty() && self.again.is_empty()
    }

    fn finish(mut self) {
        self.incoming.close();
        while let Ok(order) = self.incoming.try_recv() {
            match order {
                Order::Do(op) => (op.done)(Err(StoreError::Closed)),
                Order::Close(done) => self.closing.push(done),
                Order::Subscribe(..) => {}
            }
        }
        if let Some(ears) = self.ears.upgrade() {
            ears.closed();
        }
        for done in self.closing.drain(..) {
            done();
        }
    }

    /// Takes orders while there is no connection, and answers those whose time has come.
    fn look_at_deadlines(&mut self, cause: &str) {
        loop {
            match self.incoming.try_recv() {
                Ok(Order::Do(op)) => self.again.push_back(op),
                Ok(Order::Subscribe(channel, on)) => self.want(channel, on),
                Ok(Order::Close(done)) => self.closing.push(done),
                Err(tokio::sync::mpsc::error::TryRecvError::Disconnected) => {
                    self.ended = true;
                    break;
                }
                Err(tokio::sync::mpsc::error::TryRecvError::Empty) => break,
            }
        }
        let now = Instant::now();
        // Who closes does not wait for a server that is away.
        let closing = self.ended || !self.closing.is_empty();
        let (over, stay): (VecDeque<Op>, VecDeque<Op>) =
            std::mem::take(&mut self.again).into_iter().partition(|op| closing || op.deadline <= now);
        self.again = stay;
        for op in over {
            (op.done)(Err(unreachable(&self.place, cause)));
        }
    }

    fn refuse_all(&mut self, error: &StoreError) {
        self.look_at_deadlines("");
        for op in std::mem::take(&mut self.again) {
            (op.done)(Err(error.clone()));
        }
    }

    fn want(&mut self, channel: Vec<u8>, on: bool) {
        self.channels.retain(|wanted| *wanted != channel);
        if on {
            self.channels.push(channel);
        }
    }

    /// The connection broke: what was not answered is sent again, and marked.
    fn keep_what_was_sent(&mut self) {
        for (_, mut op) in std::mem::take(&mut self.sent).into_iter().rev() {
            op.call.set_again();
            if let Some(claim) = &op.claim
                && !self.lost_claims.iter().any(|(meta, worker, _)| (meta, worker) == (&claim.0, &claim.1))
            {
                self.lost_claims.push(claim.clone());
            }
            self.again.push_front(op);
        }
    }

    /// Brings a new connection to where operations can be sent.
    async fn set_up(&mut self, wire: &mut Wire) -> Result<(), StoreError> {
        let place = self.place.clone();
        let failed = |error: RedisError| from_redis(&error, &place);
        let version = format!("{PREFIX}v");
        let found = wire.send(redis::cmd("GET").arg(&version)).await.map_err(failed)?;
        match crate::value::text(&found) {
            None => {
                wire.send(redis::cmd("SET").arg(&version).arg(LAYOUT).arg("NX")).await.map_err(failed)?;
            }
            Some(found) => {
                let found: i64 = found.parse().map_err(|_| crate::error::broken(&self.place, "the key ma:v"))?;
                if found != LAYOUT {
                    return Err(StoreError::Version { place: self.place.clone(), found, supported: LAYOUT });
                }
                // A replica is better known by this, which changes nothing, than by each operation.
                let write = wire.send(redis::cmd("SET").arg(&version).arg(LAYOUT).arg("NX")).await;
                if let Err(error) = write
                    && cure(&error) == Cure::WaitElsewhere
                {
                    return Err(failed(error));
                }
            }
        }
        self.load(wire).await.map_err(failed)?;
        for channel in &self.channels {
            wire.subscribe(channel, true).await.map_err(failed)?;
        }
        if !self.warned {
            self.warned = true;
            self.warn(wire).await;
        }
        // Each is forgotten once it is done: this connection may break too.
        while let Some((meta, worker, now)) = self.lost_claims.last().cloned() {
            self.give_back(wire, &meta, worker, now).await.map_err(failed)?;
            self.lost_claims.pop();
        }
        Ok(())
    }

    async fn load(&mut self, wire: &mut Wire) -> RedisResult<()> {
        let mut shas = Vec::with_capacity(Script::ALL.len());
        for script in Script::ALL {
            let sha = wire.send(redis::cmd("SCRIPT").arg("LOAD").arg(self.scripts.source(*script))).await?;
            shas.push(crate::value::text(&sha).unwrap_or_default().to_owned());
        }
        self.scripts.shas = shas;
        Ok(())
    }

    /// Gives back what a claim took whose answer never came: the worker does not know of it.
    async fn give_back(&self, wire: &mut Wire, meta: &[u8], worker: i64, now: i64) -> RedisResult<()> {
        let Some(ears) = self.ears.upgrade() else { return Ok(()) };
        let above = crate::blob::padded(ears.newest_token(worker));
        let call = Call::script(Script::Leave, &[meta]).with("").with(crate::blob::padded(worker)).with_number(now).with(above);
        loop {
            let answer = wire.send(&call.to_cmd(&self.scripts)).await?;
            if crate::value::list(&answer).first().and_then(crate::value::text) != Some("1") {
                return Ok(());
            }
        }
    }

    /// Tells once of a server that may lose what it was given.
    async fn warn(&self, wire: &mut Wire) {
        let Some(ears) = self.ears.upgrade() else { return };
        // A user may not be allowed to ask: then there is no warning.
        let mut setting = async |name: &str| {
            let found = wire.send(redis::cmd("CONFIG").arg("GET").arg(name)).await.ok()?;
            crate::value::pairs(&found).first().map(|(_, value)| (*value).to_owned())
        };
        let policy = setting("maxmemory-policy").await;
        if let Some(policy) = policy.filter(|policy| policy != "noeviction") {
            let limit = setting("maxmemory").await;
            let now = if limit.as_deref() == Some("0") { ", as soon as maxmemory is set" } else { "" };
            ears.warning(&format!(
                "{}: maxmemory-policy is {policy}: Redis may remove jobs to make room{now}; set it to noeviction",
                self.place
            ));
        }
        let (save, appends) = (setting("save").await, setting("appendonly").await);
        if save.as_deref() == Some("") && appends.as_deref() == Some("no") {
            ears.warning(&format!(
                "{}: Redis writes nothing to its disk (save is empty and appendonly is no): a restart loses all jobs; set appendonly to yes",
                self.place
            ));
        }
    }

    /// Serves until the connection breaks; `None` when the store is closed.
    async fn serve_until_broken(&mut self, wire: &mut Wire) -> Option<RedisError> {
        loop {
            match self.serve(wire).await {
                Ending::Closed => return None,
                Ending::Broken(error) => return Some(error),
                Ending::Pause(Cure::Load) => {
                    if let Err(error) = self.load(wire).await {
                        return Some(error);
                    }
                }
                Ending::Pause(_) => {
                    tokio::time::sleep(PAUSE).await;
                    self.look_at_deadlines("it is not ready");
                }
            }
        }
    }

    async fn serve(&mut self, wire: &mut Wire) -> Ending {
        let mut flight: FuturesUnordered<Flight> = FuturesUnordered::new();
        let mut refused = Refused::default();
        let mut linger = Linger::new();
        let most = if matches!(wire, Wire::Cluster(..)) { MOST_IN_CLUSTER } else { usize::MAX };
        loop {
            while refused.pause.is_none()
                && flight.len() < most
                && let Some(op) = self.again.pop_front()
            {
                self.send(wire, op, &mut flight).await;
            }
            if flight.is_empty() && self.sent.is_empty() {
                if let Some((cure, error)) = refused.pause {
                    refused.ops.into_values().rev().for_each(|op| self.again.push_front(op));
                    return if cure == Cure::WaitElsewhere { Ending::Broken(error) } else { Ending::Pause(cure) };
                }
                if self.ended || !self.closing.is_empty() {
                    let Ok(order) = self.incoming.try_recv() else { return Ending::Closed };
                    self.take(order, wire, &mut flight).await;
                }
            }
            let accepts = refused.pause.is_none() && !self.ended && flight.len() < most && self.again.is_empty();
            let awaited = !flight.is_empty();
            tokio::select! {
                biased;
                Some((id, outcome)) = flight.next(), if !flight.is_empty() => {
                    let Some(op) = self.sent.remove(&id) else { continue };
                    if let Err(error) = self.answered(id, op, outcome, &mut refused) {
                        self.sent.append(&mut refused.ops);
                        return Ending::Broken(error);
                    }
                }
                order = self.incoming.recv(), if accepts => match order {
                    Some(order) => {
                        self.take(order, wire, &mut flight).await;
                        // What has gathered goes out together.
                        while flight.len() < most
                            && let Ok(order) = self.incoming.try_recv()
                        {
                            self.take(order, wire, &mut flight).await;
                        }
                    }
                    None => self.ended = true,
                },
                Some(push) = self.pushes.1.recv() => match push.kind {
                    PushKind::Disconnection => {
                        self.sent.append(&mut refused.ops);
                        return Ending::Broken(RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
                    }
                    PushKind::Message | PushKind::SMessage => self.heard(&push),
                    _ => {}
                },
                () = linger.turn(), if linger.looking => continue,
            }
            linger.came(awaited, !flight.is_empty());
        }
    }

    /// Tells how an operation ended, or keeps it for later; fails where the connection is no good any more.
    fn answered(&mut self, id: u64, op: Op, outcome: RedisResult<Value>, refused: &mut Refused) -> RedisResult<()> {
        let error = match outcome {
            Ok(value) => {
                (op.done)(Ok(value));
                return Ok(());
            }
            Err(error) => error,
        };
        match cure(&error) {
            Cure::Reconnect => {
                self.sent.insert(id, op);
                return Err(error);
            }
            cure if cure != Cure::None && op.deadline > Instant::now() => {
                refused.ops.insert(id, op);
                if refused.pause.as_ref().is_none_or(|(before, _)| *before != Cure::WaitElsewhere) {
                    refused.pause = Some((cure, error));
                }
            }
            _ => (op.done)(Err(from_redis(&error, &self.place))),
        }
        Ok(())
    }

    fn heard(&self, push: &PushInfo) {
        if let (Some(ears), [channel, payload, ..]) = (self.ears.upgrade(), &push.data[..]) {
            ears.message(crate::value::bytes(channel), crate::value::bytes(payload));
        }
    }

    async fn take(&mut self, order: Order, wire: &mut Wire, flight: &mut FuturesUnordered<Flight>) {
        match order {
            Order::Do(op) => self.send(wire, op, flight).await,
            Order::Subscribe(channel, on) => {
                let known = self.channels.contains(&channel);
                self.want(channel.clone(), on);
                if known != on {
                    let mut wire = wire.clone();
                    // Not among what was sent: where it fails, the connection does, and the next one subscribes anew.
                    start(flight, Box::pin(async move { (u64::MAX, wire.subscribe(&channel, on).await.map(|()| Value::Nil)) }))
                        .await;
                }
            }
            Order::Close(done) => self.closing.push(done),
        }
    }

    async fn send(&mut self, wire: &Wire, op: Op, flight: &mut FuturesUnordered<Flight>) {
        let id = self.next;
        self.next += 1;
        let (cmd, mut wire) = (op.call.to_cmd(&self.scripts), wire.clone());
        self.sent.insert(id, op);
        start(flight, Box::pin(async move { (id, wire.send(&cmd).await) })).await;
    }
}

/// Begins to send: futures send when they are first asked, so each is asked once in its turn. None may be put off, by a full
/// pipeline or because the task has done much: what is asked again comes in any order.
async fn start(flight: &mut FuturesUnordered<Flight>, sending: Flight) {
    let mut sending: Flight = Box::pin(tokio::task::unconstrained(sending));
    if let std::task::Poll::Ready(outcome) =
        std::future::poll_fn(|context| std::task::Poll::Ready(sending.as_mut().poll(context))).await
    {
        flight.push(Box::pin(std::future::ready(outcome)));
    } else {
        flight.push(sending);
    }
}

/// A connection to one of the servers, whichever answers first when they are asked in random order.
async fn any_of(nodes: &[ConnectionInfo], config: &AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
    let mut nodes = nodes.to_vec();
    fastrand::shuffle(&mut nodes);
    let mut last = RedisError::from(std::io::Error::from(std::io::ErrorKind::NotConnected));
    for node in nodes {
        match Client::open(node)?.get_multiplexed_async_connection_with_config(config).await {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn is_refusal(error: &RedisError) -> bool {
    let text = error.to_string();
    error.kind() == redis::ErrorKind::AuthenticationFailed
        || ["WRONGPASS", "NOAUTH", "NOPERM", "DB index", "invalid DB"].iter().any(|word| text.contains(word))
}

async fn connect(address: &Address, pushes: UnboundedSender<PushInfo>) -> RedisResult<Wire> {
    // Whose cryptography TLS uses: where somebody has chosen one, that is it.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(ANSWER))
        .set_pipeline_buffer_size(MOST_UNSENT)
        .set_push_sender(pushes);
    Ok(match address {
        Address::Single(info) => {
            let client = Client::open((**info).clone())?;
            Wire::Single(client.get_multiplexed_async_connection_with_config(&config).await?)
        }
        Address::Sentinel { sentinels, master, login, guards, tls } => {
            let mut builder = SentinelClientBuilder::new(sentinels.clone(), master, SentinelServerType::Master)?
                .set_client_to_redis_db(login.db)
                .set_client_to_redis_protocol(redis::ProtocolVersion::RESP3);
            if let Some(user) = &login.user {
                builder = builder.set_client_to_redis_username(user);
            }
            if let Some(password) = &login.password {
                builder = builder.set_client_to_redis_password(password);
            }
            if let Some(user) = &guards.user {
                builder = builder.set_client_to_sentinel_username(user);
            }
            if let Some(password) = &guards.password {
                builder = builder.set_client_to_sentinel_password(password);
            }
            if *tls {
                builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure).set_client_to_sentinel_tls_mode(TlsMode::Secure);
            }
            Wire::Single(builder.build()?.get_async_connection_with_config(&config).await?)
        }
        Address::Cluster { nodes } => {
            let client = redis::cluster::ClusterClient::builder(nodes.clone())
                .connection_timeout(CONNECT)
                .response_timeout(ANSWER)
                .use_protocol(redis::ProtocolVersion::RESP3)
                .build()?;
            Wire::Cluster(client.get_async_connection().await?, any_of(nodes, &config).await?)
        }
    })
}
