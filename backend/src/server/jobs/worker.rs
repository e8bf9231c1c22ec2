//! The threads that do jobs, one for each device. They are outside of tokio's, and yield to requests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mudi_domain::api::{JobEvent, JobFault, JobKind, JobState};
use tokio::runtime::Handle;

use super::loaded::Loaded;
use super::report::Reporter;
use super::{evaluate, generate, segment, train};
use crate::base::BaseError;
use crate::device::{Device, is_out_of_memory};
use crate::interrupt::Interrupt;
use crate::server::Server;
use crate::server::store::{Claim, Keeping, StoreError, Wanted, is_full};
use crate::train::TrainError;

/// The code of the fault where there is too little memory.
pub(super) const MEMORY: &str = "memory";
/// How often a worker looks for a job that waits for room on the disk.
const LOOK: Duration = Duration::from_secs(5);

/// What a job works with.
pub(super) struct Work<'a> {
    pub(super) server: &'a Server,
    pub(super) handle: &'a Handle,
    pub(super) claim: &'a Claim,
    pub(super) interrupt: Interrupt,
    /// Where it runs.
    pub(super) device: Device,
    /// The models that the worker keeps.
    pub(super) models: &'a Loaded,
}

impl<'a> Work<'a> {
    /// Waits for an answer of the store.
    pub(super) fn wait<T>(&self, future: impl Future<Output = Result<T, StoreError>>) -> Result<T, Stopped> {
        self.handle.block_on(future).map_err(|error| Stopped::of("store", &error))
    }

    /// Removes files that were kept for rows which could not be written: on a full disk others want their room.
    pub(super) fn undo(&self, keeping: Keeping<'_>) {
        if let Err(error) = self.handle.block_on(keeping.undo()) {
            tracing::warn!(job = %self.claim.id, %error, "files without rows stay until the next start");
        }
    }

    /// Tells what is being done.
    pub(super) fn reporter(&'a self) -> Reporter<'a> {
        Reporter::new(self)
    }
}

/// Why a job stopped before its end.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It was asked to.
    Interrupted,
    /// The disk is full.
    Full,
    /// Something is wrong with it.
    Fault(JobFault),
}

impl Stopped {
    /// The stop that an error makes: of a device whose memory was not enough always the same one, whatever failed by it.
    pub(super) fn of(code: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        if is_full(error) || matches!(error.downcast_ref(), Some(StoreError::Full)) {
            return Self::Full;
        }
        let detail = for_page(error);
        if is_out_of_memory(&detail) {
            Self::fault(MEMORY, out_of_memory(&detail))
        } else {
            Self::fault(code, detail)
        }
    }

    /// A fault in words.
    pub(super) fn fault(code: &str, detail: impl Into<String>) -> Self {
        Self::Fault(JobFault { code: code.to_owned(), detail: detail.into() })
    }
}

/// The error as the page tells it, which has no flags.
fn for_page(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(error) = error.downcast_ref::<BaseError>() {
        return error.for_page();
    }
    error.downcast_ref::<TrainError>().map_or_else(|| error.to_string(), TrainError::for_page)
}

fn out_of_memory(detail: &str) -> String {
    format!(
        "the memory of the server's device was not enough ({detail}); free some of it, use a smaller base model, or train with less: \
         Precision: half, Gradient checkpointing: on, Batch: 1. Whoever hosts the server can set `memory` to the size of the device's \
         memory: then pictures are made in smaller groups where they have to be, and what does not fit is told before it begins"
    )
}

/// Starts the workers; they end when the server's queue says that the server stops.
pub(crate) fn start(server: &Arc<Server>, handle: &Handle) -> std::io::Result<Vec<JoinHandle<()>>> {
    let start = |device: Device| {
        let (server, handle) = (server.clone(), handle.clone());
        std::thread::Builder::new().name(format!("worker {device}")).spawn(move || {
            yield_to_requests(server.settings.nice);
            run(&server, &handle, device);
        })
    };
    server.settings.device.iter().map(start).collect()
}

/// Lowers the priority of this thread, and of the engine's threads, which it starts.
fn yield_to_requests(nice: u64) {
    #[cfg(target_os = "linux")]
    {
        let nice = i32::try_from(nice).unwrap_or_default();
        if let Err(error) = rustix::process::setpriority_process(None, nice) {
            tracing::warn!(%error, "the worker's priority stays as it is");
        }
        // The engine's pool inherits the priority of whoever starts it. Where it is there already, it keeps its own.
        let _ = rayon::ThreadPoolBuilder::new().build_global();
    }
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
}

fn run(server: &Server, handle: &Handle, device: Device) {
    let models = Loaded::new(server.settings.kept_bytes());
    let mut stopped = server.queue.stopped();
    while !*stopped.borrow() {
        match handle.block_on(server.store.claim()) {
            Ok(Some(claim)) => {
                // There may be more, for another worker.
                server.queue.wake();
                work(server, handle, &claim, device, &models);
            }
            found => {
                if let Err(error) = found {
                    tracing::error!(%error, "no job can be claimed");
                }
                handle.block_on(async {
                    // Each of them is a reason to look again.
                    tokio::select! {
                        () = server.queue.wake.notified() => {}
                        _ = stopped.changed() => {}
                        () = tokio::time::sleep(LOOK) => {}
                    }
                });
            }
        }
    }
}

/// Does a job, and settles its state.
fn work(server: &Server, handle: &Handle, claim: &Claim, device: Device, models: &Loaded) {
    let interrupt = server.queue.begin(claim);
    // Somebody may have asked between the claim and now.
    let wanted = handle.block_on(server.store.wanted(claim.id));
    if *server.queue.stopped().borrow() || !matches!(wanted, Ok(Wanted::Run)) {
        interrupt.set();
    }
    tracing::info!(job = %claim.id, kind = claim.kind.word(), %device, "a job begins");
    let running = JobEvent::State { state: JobState::Running, fault: None };
    let work = Work { server, handle, claim, interrupt, device, models };
    let result = work.wait(server.queue.note(&server.store, claim.id, &running)).and_then(|()| {
        let done = catch_unwind(AssertUnwindSafe(|| match claim.kind {
            JobKind::Train => train::run(&work),
            JobKind::Generate => generate::run(&work),
            JobKind::Segment => segment::run(&work),
            JobKind::Evaluate => evaluate::run(&work),
        }));
        done.unwrap_or_else(|_| {
            Err(Stopped::fault("internal", "the worker has panicked; the server's log says why"))
        })
    });
    // Before anybody hears that it is over.
    server.latents.clear(claim.id);
    // A full disk may refuse the row too: it is written once there is room. Where the server stops before, the next start
    // finds the job running, and goes on with it.
    while let Err(error) = handle.block_on(settle(server, claim, &result)) {
        tracing::error!(job = %claim.id, %error, "a job's state cannot be kept; trying again");
        let mut stopped = server.queue.stopped();
        let stops =
            handle.block_on(async { tokio::time::timeout(LOOK, stopped.wait_for(|stop| *stop)).await });
        if stops.is_ok() {
            break;
        }
    }
    server.queue.end(claim);
}

async fn settle(server: &Server, claim: &Claim, result: &Result<(), Stopped>) -> Result<(), StoreError> {
    let full = || JobFault { code: "disk_full".to_owned(), detail: StoreError::Full.to_string() };
    let settled = server.store.settle(claim.id, |wanted| match (result, wanted) {
        (Ok(()), _) => (JobState::Done, None),
        (Err(Stopped::Fault(fault)), _) => (JobState::Failed, Some(without_places(server, fault))),
        (Err(Stopped::Interrupted | Stopped::Full), Wanted::Cancel) => (JobState::Cancelled, None),
        (Err(Stopped::Interrupted), Wanted::Pause) => (JobState::Paused, None),
        // It has no checkpoint of its last steps, and whoever wants it paused shall know.
        (Err(Stopped::Full), Wanted::Pause) => (JobState::Paused, Some(full())),
        // The server stops: the job goes on when it starts again.
        (Err(Stopped::Interrupted), Wanted::Run) => (JobState::Queued, None),
        (Err(Stopped::Full), Wanted::Run) => (JobState::Waiting, Some(full())),
    });
    let Some((state, event)) = settled.await? else {
        // It was deleted while it ran.
        return server.store.sweep(claim.project).await;
    };
    tracing::info!(job = %claim.id, state = state.word(), "a job stops");
    server.queue.tell(claim.id, event);
    Ok(())
}

/// The fault as whoever has a link may read it: where the server keeps its files and models is nobody's business.
fn without_places(server: &Server, fault: &JobFault) -> JobFault {
    let settings = &server.settings;
    // Networks may lie elsewhere.
    let networks = [settings.detector_folder(), settings.segmenter_folder(), settings.embedder_folder()];
    let around = networks.iter().filter_map(|network| network.parent());
    let folders = [settings.data.as_path(), &settings.models].into_iter().chain(around);
    JobFault { detail: folders.fold(fault.detail.clone(), without), ..fault.clone() }
}

/// The text without the place of what is in `folder`. The bare name of a relative one, as `models`, may be a word of the text, as in
/// `mudi models pull sam`, and tells nobody anything.
fn without(text: String, folder: &Path) -> String {
    let place = folder.display().to_string();
    if place.len() <= 1 {
        return text;
    }
    let text = text.replace(&format!("{place}{}", std::path::MAIN_SEPARATOR), "");
    if folder.is_absolute() { text.replace(&place, "") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn places_are_nobodys_business() {
        let told = |text: &str, folder: &str| without(text.to_owned(), Path::new(folder));
        assert_eq!(told("/srv/models/owlv2/config.json: broken", "/srv/models"), "owlv2/config.json: broken");
        assert_eq!(told("/srv/models: broken", "/srv/models"), ": broken");
        for folder in ["", "/"] {
            assert_eq!(told("/a/b: broken", folder), "/a/b: broken");
        }
        let cure = "take another, as `mudi models pull sam` does";
        assert_eq!(told(&format!("models/sam: {cure}"), "models"), format!("sam: {cure}"));
    }

    #[test]
    fn a_device_without_memory_is_told_of_with_a_cure() {
        for words in
            ["DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")", "Metal: Insufficient Memory"]
        {
            let Stopped::Fault(fault) = Stopped::of("base", &std::io::Error::other(words)) else {
                panic!("{words}")
            };
            assert_eq!(fault.code, MEMORY);
            assert!(
                fault.detail.contains(words) && fault.detail.contains("smaller base model"),
                "{}",
                fault.detail
            );
        }
        let Stopped::Fault(fault) = Stopped::of("base", &std::io::Error::other("no such file")) else {
            panic!("a fault")
        };
        assert_eq!((fault.code.as_str(), fault.detail.as_str()), ("base", "no such file"));
    }
}
