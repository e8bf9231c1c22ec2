//! The server: projects, jobs and links behind an HTTP API, in one data folder.
//!
//! Requests run on tokio's threads. Training and generation run on a thread for each device outside of it, at a lower priority, so
//! that requests stay quick. What happens to a job is a row first and a message second: whoever was not listening reads
//! it later.

mod archive;
mod http;
mod jobs;
mod latents;
mod media;
mod outlines;
mod preview;
mod sample;
mod settings;
mod sight;
mod stamps;
mod store;
mod toys;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use http::openapi::document as openapi;
use mudi_domain::api::ToysOnly;
pub use settings::{SETTINGS, Setting, Settings, SettingsError};
use store::Store;
pub use store::StoreError;
use tokio::sync::watch;

/// How long a stop waits for open requests.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address cannot be listened on.
    #[error("{address}: cannot be listened on ({source}); name another --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The owner's password cannot be set.
    #[error("the owner's password: {0}")]
    Password(String),
    /// The system refuses a thread, a signal or a socket.
    #[error("the server cannot run: {0}")]
    System(#[from] std::io::Error),
}

/// Everything that requests and the workers share.
pub(crate) struct Server {
    store: Store,
    settings: Settings,
    queue: jobs::Queue,
    guard: http::Guard,
    counters: http::Counters,
    sight: sight::Sight,
    preview: preview::Preview,
    latents: latents::Newest,
    /// Of the networks that see, as they were when the server started.
    toys_only: ToysOnly,
}

/// Serves until the process is told to stop (SIGINT, SIGTERM); `ready` is called with the address once it listens.
///
/// # Errors
/// [`ServeError`].
pub fn run(settings: Settings, ready: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    allow_connections();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(settings, ready))
}

/// Allows as many open files as the system lets this process have: each connection is one.
fn allow_connections() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        // Where the system refuses, there are fewer connections.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

async fn serve(settings: Settings, ready: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    let store = Store::open(&settings.data).await?;
    outlines::complete(&store).await?;
    if let Some(password) = settings.password()? {
        take_password(&store, &password).await?;
    }
    let address = settings.listen;
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let server = Arc::new(Server {
        store,
        queue: jobs::Queue::new(stopped.clone()),
        guard: http::Guard::new(),
        counters: http::Counters::new(),
        sight: sight::Sight::default(),
        preview: preview::Preview::default(),
        latents: latents::Newest::default(),
        toys_only: toys::networks(&settings),
        settings,
    });
    let workers = jobs::start(&server, &tokio::runtime::Handle::current())?;
    ready(address);
    let requests = tokio::spawn(http::serve(listener, server.clone(), stopped));
    crate::interrupt::requested().await?;
    tracing::info!("stopping: the running step is finished, and its checkpoint written");
    // Nobody can have stopped listening to it: the queue holds a receiver.
    let _ = stop.send(true);
    server.queue.interrupt_all();
    if tokio::time::timeout(PATIENCE, requests).await.is_err() {
        tracing::warn!("some requests were still open and are cut off");
    }
    for worker in workers {
        if !matches!(tokio::task::spawn_blocking(move || worker.join()).await, Ok(Ok(()))) {
            tracing::error!("a worker has ended badly");
        }
    }
    server.store.close().await;
    Ok(())
}

/// Sets the password of the file, unless it was taken from there before: one that was changed on the page since, because it had leaked, shall not
/// be valid again.
async fn take_password(store: &Store, password: &str) -> Result<(), ServeError> {
    let known = store.file_password().await?;
    if known.is_some_and(|known| http::password_is(password, Some(&known))) {
        tracing::info!(
            "the password file is as it was: the owner's password stays, or what the page made of it"
        );
        return Ok(());
    }
    let hash = http::hash_password(password).map_err(ServeError::Password)?;
    Ok(store.set_password(&hash, true).await?)
}
