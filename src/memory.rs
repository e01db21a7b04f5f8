//! The memory that JavaScript holds: texts and numbers in, a promise of texts and numbers out.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Once, OnceLock, Weak};

use futures::FutureExt;
use master_agent_core::ErrorCode;
use master_agent_memory::{Emit, Options, Reply};
use napi::bindgen_prelude::{Env, Error, Float32Array, Float32ArraySlice, Function, Object, Result};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use tokio::runtime::{Builder, Runtime};

use crate::session::{guarded, throw};
use crate::wire::Fault;

/// Threads that wait for files and put queries together. The model and large scans have threads of their own.
const THREADS: usize = 2;
/// Plans of queries are trees that are walked by recursion, in frames that are large without optimisation.
const STACK: usize = 8 << 20;

/// The name of those threads.
const THREAD: &str = "master-agent-memory";

/// A panic on our threads becomes the error of a call: it is not printed besides. Set before a memory is opened, which
/// looks at panics before they come here.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() != Some(THREAD) {
                before(panic);
            }
        }));
    });
}

/// The runtime of all memories of the process, made by the first call: importing the package starts no thread.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let made = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name(THREAD)
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .map_err(|error| throw(&Fault::new(ErrorCode::Internal, format!("threads cannot be started ({error})"))))?;
    Ok(RUNTIME.get_or_init(|| made))
}

/// What a call answers: `error` and `value` are JSON.
#[napi(object, object_from_js = false)]
#[expect(unreachable_pub, reason = "the macro asks for it")]
pub struct MemoryReply {
    pub error: Option<String>,
    pub value: Option<String>,
    /// Rows of numbers that belong to the value, one after the other.
    pub vectors: Option<Float32Array>,
}

impl From<std::result::Result<Reply, Fault>> for MemoryReply {
    fn from(outcome: std::result::Result<Reply, Fault>) -> Self {
        match outcome {
            Ok(Reply { value, vectors }) => Self { error: None, value: Some(value), vectors: vectors.map(Float32Array::new) },
            Err(fault) => Self { error: Some(fault.to_json()), value: None, vectors: None },
        }
    }
}

#[napi]
pub struct Memory {
    /// Taken when this is dropped, so that the rest is dropped on the runtime.
    inner: Option<Arc<master_agent_memory::Memory>>,
}

#[napi]
impl Memory {
    /// Opens nothing yet. `on_event` gets JSON.
    #[napi(constructor)]
    pub fn new(env: Env, options: String, on_event: Function<'_, String, ()>) -> Result<Self> {
        let events = on_event.build_threadsafe_function::<String>().callee_handled::<false>().weak::<true>().build()?;
        let emit: Emit = Arc::new(move |event| {
            events.call(event, ThreadsafeFunctionCallMode::NonBlocking);
        });
        let inner = guarded(|| {
            let options: Options = serde_json::from_str(&options).map_err(|error| Fault::unreadable("options", &error))?;
            quiet_panics();
            Ok(Arc::new(master_agent_memory::Memory::open(options, emit)))
        })?;
        // An environment can end without its objects being finalised first: a worker thread that is terminated.
        env.add_env_cleanup_hook(Arc::downgrade(&inner), |memory: Weak<master_agent_memory::Memory>| {
            if let (Some(memory), Ok(runtime)) = (memory.upgrade(), runtime()) {
                runtime.spawn(async move { memory.close().await });
            }
        })?;
        Ok(Self { inner: Some(inner) })
    }

    /// Answers one request, a JSON text, with the rows of numbers that belong to it.
    #[napi(ts_return_type = "Promise<MemoryReply>")]
    pub fn call<'env>(&self, env: &'env Env, request: String, vectors: Option<Float32ArraySlice<'_>>) -> Result<Object<'env>> {
        // JavaScript may change or give away its array as soon as this returns.
        let vectors = vectors.map(|vectors| vectors.to_vec());
        let memory = self.held()?;
        promise(
            env,
            async move { memory.call(&request, vectors).await.map_err(|error| Fault::new(error.code(), error.to_string())) },
        )
    }

    /// Lets calls that are under way end, and lets go of all files.
    #[napi(ts_return_type = "Promise<MemoryReply>")]
    pub fn close<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let memory = self.held()?;
        promise(env, async move {
            memory.close().await;
            Ok(Reply { value: "null".to_owned(), vectors: None })
        })
    }

    /// Lets all threads out of the library that runs models, and nobody in: for the end of the process, which takes the library down.
    /// After two seconds it ends the process itself, with this status.
    #[napi]
    pub fn leave_models(status: i32) -> Result<()> {
        guarded(|| {
            master_agent_memory::embed::leave(status);
            Ok(())
        })
    }

    fn held(&self) -> Result<Arc<master_agent_memory::Memory>> {
        self.inner.clone().ok_or_else(|| throw(&Fault::new(ErrorCode::Closed, "the memory is gone")))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let (Some(inner), Ok(runtime)) = (self.inner.take(), runtime()) {
            runtime.spawn(async move { drop(inner) });
        }
    }
}

/// Does the work on our runtime, and resolves a promise with its outcome. It never rejects, also not when the work panics.
fn promise<'env>(
    env: &'env Env,
    work: impl Future<Output = std::result::Result<Reply, Fault>> + Send + 'static,
) -> Result<Object<'env>> {
    let runtime = runtime()?;
    let (deferred, promise) = env.create_deferred::<MemoryReply, Resolve>()?;
    runtime.spawn(async move {
        let outcome = AssertUnwindSafe(work)
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(Fault::new(ErrorCode::Internal, "the addon panicked; please report this")));
        deferred.resolve(Box::new(move |_| Ok(MemoryReply::from(outcome))));
    });
    Ok(promise)
}

type Resolve = Box<dyn FnOnce(Env) -> std::result::Result<MemoryReply, Error> + Send>;
