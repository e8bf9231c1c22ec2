//! Files on their way to the server: several at once, each with its progress, sent again after the connection broke. They go on
//! while other pages are looked at.

use gloo_timers::future::TimeoutFuture;
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::Photo;
use mudi_domain::subject::SubjectId;
use send_wrapper::SendWrapper;
use web_sys::{DragEvent, File, FileList};

use crate::api::{self, ApiError};
use crate::frame::{TheProject, Toasts, the_project};
use crate::saves::Sending;
use crate::text;

/// Files that are sent at once.
const AT_ONCE: usize = 3;
/// How long the page waits before it sends a file again, in milliseconds, the first time and at most.
const PAUSE: (u32, u32) = (1000, 15_000);
/// The most characters that the server keeps of a file's name.
const LONGEST_NAME: usize = 200;

/// How far a file is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    Waiting,
    /// The share that is sent, and that in words.
    Sending(f64, String),
    /// It is sent again by itself: the connection broke, or it is known why it cannot be taken now.
    Again(Option<String>),
    /// Nobody takes it.
    Refused(String),
}

/// A file on its way. Nothing of it belongs to a page: it goes on when that is left.
#[derive(Clone)]
pub(super) struct Upload {
    pub(super) id: u32,
    /// Where the API of its subject is.
    subject: String,
    pub(super) file: SendWrapper<File>,
    pub(super) name: String,
    /// Its request, while there is one.
    sent: SendWrapper<api::Sent>,
    pub(super) state: ArcRwSignal<State>,
}

impl Upload {
    /// Whether it is waited for.
    fn goes_on(&self) -> bool {
        self.state.with(|state| !matches!(state, State::Refused(_)))
    }
}

/// The files on their way; there is one list for the page.
#[derive(Clone, Copy)]
pub(crate) struct UploadQueue {
    list: RwSignal<Vec<Upload>>,
    count: StoredValue<u32>,
    /// How many have arrived so far.
    arrived: RwSignal<u32>,
    /// Those that the server had already, until that is told.
    known: StoredValue<Vec<String>>,
    /// The subjects whose lists are looked at.
    shown: StoredValue<Vec<String>>,
    toasts: Toasts,
}

impl UploadQueue {
    /// None yet.
    pub(crate) fn provide() {
        let queue = Self {
            list: RwSignal::new(Vec::new()),
            count: StoredValue::new(0),
            arrived: RwSignal::new(0),
            known: StoredValue::new(Vec::new()),
            shown: StoredValue::new(Vec::new()),
            toasts: expect_context(),
        };
        provide_context(queue);
        let unsent = Memo::new(move |_| {
            queue.list.with(|list| list.iter().filter(|upload| upload.goes_on()).count() > 0)
        });
        Effect::new(move |way: Option<Option<Sending>>| {
            unsent.get().then(|| way.flatten().unwrap_or_else(|| Sending::to("photos")))
        });
        keep_files_out();
    }

    fn add(self, subject: &str, files: Vec<File>) {
        let new = files.into_iter().map(|file| {
            self.count.update_value(|count| *count += 1);
            Upload {
                id: self.count.get_value(),
                subject: subject.to_owned(),
                name: text::file_name(&file.name(), LONGEST_NAME),
                file: SendWrapper::new(file),
                sent: SendWrapper::new(api::Sent::default()),
                state: ArcRwSignal::new(State::Waiting),
            }
        });
        self.list.update(|list| list.extend(new));
        self.go_on();
    }

    /// Begins to send what waits, while not too many are being sent.
    fn go_on(self) {
        let list = self.list.get_untracked();
        let busy = |upload: &&Upload| {
            upload.state.with_untracked(|state| matches!(state, State::Sending(..) | State::Again(_)))
        };
        let sent = list.iter().filter(busy).count();
        let waiting = list.into_iter().filter(|upload| upload.state.get_untracked() == State::Waiting);
        let next: Vec<Upload> = waiting.take(AT_ONCE.saturating_sub(sent)).collect();
        if sent == 0 && next.is_empty() {
            self.tell_known();
        }
        for upload in next {
            upload.state.set(State::Sending(0.0, text::sent(0.0, 0.0)));
            spawn_local(self.send(upload));
        }
    }

    async fn send(self, upload: Upload) {
        let name = String::from(js_sys::encode_uri_component(&upload.name));
        let path = format!("{}/photos?name={name}", upload.subject);
        let mut pause = PAUSE.0;
        loop {
            let state = upload.state.clone();
            let progress = move |share, words| state.set(State::Sending(share, words));
            let answer = api::upload::<Photo>(&path, &upload.file, &upload.sent, progress).await;
            if !self.has(upload.id) {
                // It was given up. What was sent as a whole is kept all the same, a moment later.
                self.go_on();
                TimeoutFuture::new(PAUSE.0).await;
                self.arrived.update(|times| *times += 1);
                return;
            }
            match answer {
                Ok((status, _)) => {
                    if status == 200 {
                        self.known.update_value(|known| known.push(upload.name.clone()));
                    }
                    self.remove(upload.id);
                    self.arrived.update(|times| *times += 1);
                    break;
                }
                // A file that is no photo stays none; what the server could not do now it may do later.
                Err(error) if is_refused(&error) => {
                    self.refused(&upload, &error);
                    break;
                }
                Err(error) => {
                    let why = (error != ApiError::Offline).then(|| error.to_string());
                    upload.state.set(State::Again(why));
                    // The same file again is the same photo, so nothing can be there twice.
                    TimeoutFuture::new(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                    if !self.has(upload.id) {
                        break;
                    }
                }
            }
        }
        self.go_on();
    }

    fn refused(self, upload: &Upload, error: &ApiError) {
        upload.state.set(State::Refused(error.to_string()));
        // Whoever looks at the list sees it there.
        if !self.shown.with_value(|shown| shown.contains(&upload.subject)) {
            self.toasts.complain(format!("“{}” was not added: {error}", upload.name));
        }
    }

    /// Tells of the files whose rows went although nothing was added.
    fn tell_known(self) {
        let known = self.known.try_update_value(std::mem::take).unwrap_or_default();
        match known.as_slice() {
            [] => {}
            [name] => self.toasts.say(format!("“{name}” is there already.")),
            names => self.toasts.say(format!("{} are there already.", text::count(names.len(), "photo"))),
        }
    }

    /// Gives up what `given_up` chooses, and sends no more of it.
    fn drop_all(self, given_up: impl Fn(&Upload) -> bool) {
        let mut gone = Vec::new();
        self.list.update(|list| gone.extend(list.extract_if(.., |upload| given_up(upload))));
        gone.iter().for_each(|upload| upload.sent.abort());
        self.go_on();
    }

    fn remove(self, id: u32) {
        self.list.update(|list| list.retain(|upload| upload.id != id));
    }

    fn has(self, id: u32) -> bool {
        self.list.with_untracked(|list| list.iter().any(|upload| upload.id == id))
    }
}

/// Whether sending the file again would help nobody.
fn is_refused(error: &ApiError) -> bool {
    match error {
        ApiError::Problem(problem) => {
            !matches!(problem.code.as_str(), "too_often" | "disk_full" | "internal" | "invalid")
        }
        // Of proxies, too: what took too long, came too early or too often.
        ApiError::Between(status) => !matches!(status, 408 | 425 | 429),
        _ => false,
    }
}

/// A browser opens a file that is dropped where nothing takes it, in the place of the page: what is half written there would be lost.
fn keep_files_out() {
    let keep_out = |event: DragEvent| {
        if carries_files(&event) {
            event.prevent_default();
        }
    };
    let (over, drop) =
        (window_event_listener(ev::dragover, keep_out), window_event_listener(ev::drop, keep_out));
    on_cleanup(move || {
        over.remove();
        drop.remove();
    });
}

pub(super) fn carries_files(event: &DragEvent) -> bool {
    event.data_transfer().is_some_and(|data| data.types().includes(&"Files".into(), 0))
}

/// The way to the [`UploadQueue`] from a project's page.
#[derive(Clone, Copy)]
pub(super) struct Uploads {
    queue: UploadQueue,
    the: TheProject,
}

impl Uploads {
    /// `arrived` is called when files have arrived, for as long as the page is there.
    pub(super) fn new(arrived: Callback<()>) -> Self {
        let queue = expect_context::<UploadQueue>();
        Effect::new(move |before: Option<u32>| {
            let times = queue.arrived.get();
            if before.is_some_and(|before| before != times) {
                arrived.run(());
            }
            times
        });
        Self { queue, the: the_project() }
    }

    /// Shows what is sent to `path`, for as long as the part of the page that asks is there.
    pub(super) fn show(self, path: String) {
        self.queue.shown.update_value(|shown| shown.push(path.clone()));
        on_cleanup(move || {
            self.queue.shown.try_update_value(|shown| {
                if let Some(place) = shown.iter().position(|known| *known == path) {
                    shown.remove(place);
                }
            });
        });
    }

    /// Sends files as photos of `subject`; how many there were.
    pub(super) fn add(self, subject: &SubjectId, files: &FileList) -> usize {
        let files: Vec<File> = (0..files.length()).filter_map(|index| files.get(index)).collect();
        let count = files.len();
        self.queue.add(&self.path(subject), files);
        count
    }

    /// Where the API of a subject is.
    pub(super) fn path(self, subject: &SubjectId) -> String {
        let subject = String::from(js_sys::encode_uri_component(subject.as_str()));
        self.the.path_now(&format!("subjects/{subject}"))
    }

    /// What is on its way to the subject whose API is at `path`.
    pub(super) fn to(self, path: &str) -> Vec<Upload> {
        self.queue.list.with(|list| list.iter().filter(|upload| upload.subject == path).cloned().collect())
    }

    /// How many of these are waited for.
    pub(super) fn open(self, path: &str) -> usize {
        let open = |upload: &&Upload| upload.subject == path && upload.goes_on();
        self.queue.list.with(|list| list.iter().filter(open).count())
    }

    /// Gives up one.
    pub(super) fn give_up(self, id: u32) {
        self.queue.drop_all(|upload| upload.id == id);
    }

    /// Gives up all that are waited for on their way to the subject whose API is at `path`.
    pub(super) fn give_up_all(self, path: &str) {
        let open = |upload: &Upload| upload.state.with_untracked(|state| !matches!(state, State::Refused(_)));
        self.queue.drop_all(|upload| upload.subject == path && open(upload));
    }
}
