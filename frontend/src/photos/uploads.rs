//! Files on their way to the server: several at once, each with its progress, sent again after the connection broke. They go on
//! while other pages are looked at.

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::Photo;
use mudi_domain::subject::SubjectId;
use send_wrapper::SendWrapper;
use web_sys::{File, FileList};

use crate::api::{self, ApiError};
use crate::frame::{TheProject, Toasts, the_project};
use crate::saves::Sending;
use crate::text;
use crate::widgets::{Icon, Sign};

/// Files that are sent at once.
const AT_ONCE: usize = 3;
/// How long the page waits before it sends a file again, in milliseconds, the first time and at most.
const PAUSE: (u32, u32) = (1000, 15_000);

/// How far a file is.
#[derive(Debug, Clone, PartialEq)]
enum State {
    Waiting,
    /// The share that is sent.
    Sending(f64),
    /// It is sent again by itself: the connection broke, or the server says why it cannot take it now.
    Again(Option<String>),
    /// The server does not want it.
    Refused(String),
}

/// A file on its way. Nothing of it belongs to a page: it goes on when that is left.
#[derive(Clone)]
struct Upload {
    id: u32,
    /// Where the API of its subject is.
    subject: String,
    file: SendWrapper<File>,
    state: ArcRwSignal<State>,
}

/// The files on their way; there is one list for the page.
#[derive(Clone, Copy)]
pub(crate) struct UploadQueue {
    list: RwSignal<Vec<Upload>>,
    count: StoredValue<u32>,
    /// How many have arrived so far.
    arrived: RwSignal<u32>,
    /// How many pages show the list.
    shown: StoredValue<u32>,
    toasts: Toasts,
}

impl UploadQueue {
    /// None yet.
    pub(crate) fn provide() {
        let queue = Self {
            list: RwSignal::new(Vec::new()),
            count: StoredValue::new(0),
            arrived: RwSignal::new(0),
            shown: StoredValue::new(0),
            toasts: expect_context(),
        };
        provide_context(queue);
        let unsent = Memo::new(move |_| {
            let unsent = |upload: &Upload| upload.state.with(|state| !matches!(state, State::Refused(_)));
            queue.list.with(|list| list.iter().filter(|upload| unsent(upload)).count() > 0)
        });
        Effect::new(move |way: Option<Option<Sending>>| {
            unsent.get().then(|| way.flatten().unwrap_or_else(|| Sending::to("photos")))
        });
    }

    fn add(self, subject: &str, files: Vec<File>) {
        let new = files.into_iter().map(|file| {
            self.count.update_value(|count| *count += 1);
            Upload {
                id: self.count.get_value(),
                subject: subject.to_owned(),
                file: SendWrapper::new(file),
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
            upload.state.with_untracked(|state| matches!(state, State::Sending(_) | State::Again(_)))
        };
        let free = AT_ONCE.saturating_sub(list.iter().filter(busy).count());
        let waiting = list.into_iter().filter(|upload| upload.state.get_untracked() == State::Waiting);
        for upload in waiting.take(free) {
            upload.state.set(State::Sending(0.0));
            spawn_local(self.send(upload));
        }
    }

    async fn send(self, upload: Upload) {
        let name = String::from(js_sys::encode_uri_component(&upload.file.name()));
        let path = format!("{}/photos?name={name}", upload.subject);
        let mut pause = PAUSE.0;
        loop {
            let state = upload.state.clone();
            let progress = move |share| state.set(State::Sending(share));
            match api::upload::<Photo>(&path, &upload.file, progress).await {
                Ok(_) => {
                    self.remove(upload.id);
                    self.arrived.update(|times| *times += 1);
                    break;
                }
                // A file that is no photo stays none; what the server could not do now it may do later.
                Err(error @ ApiError::Problem(_)) if !may_pass(&error) => {
                    self.refused(&upload, &error);
                    break;
                }
                Err(error) => {
                    let why = matches!(error, ApiError::Problem(_)).then(|| error.to_string());
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
        if self.shown.get_value() == 0 {
            self.toasts.complain(format!("“{}” was not added: {error}", upload.file.name()));
        }
    }

    fn remove(self, id: u32) {
        self.list.update(|list| list.retain(|upload| upload.id != id));
    }

    fn has(self, id: u32) -> bool {
        self.list.with_untracked(|list| list.iter().any(|upload| upload.id == id))
    }
}

fn may_pass(error: &ApiError) -> bool {
    matches!(error.code(), "too_often" | "disk_full" | "internal" | "invalid")
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
        queue.shown.update_value(|count| *count += 1);
        on_cleanup(move || queue.shown.update_value(|count| *count -= 1));
        Effect::new(move |before: Option<u32>| {
            let times = queue.arrived.get();
            if before.is_some_and(|before| before != times) {
                arrived.run(());
            }
            times
        });
        Self { queue, the: the_project() }
    }

    /// Sends files as photos of `subject`; how many there were.
    pub(super) fn add(self, subject: &SubjectId, files: &FileList) -> usize {
        let files: Vec<File> = (0..files.length()).filter_map(|index| files.get(index)).collect();
        let count = files.len();
        self.queue.add(&self.path(subject), files);
        count
    }

    fn path(self, subject: &SubjectId) -> String {
        let subject = String::from(js_sys::encode_uri_component(subject.as_str()));
        self.the.path_now(&format!("subjects/{subject}"))
    }

    /// What is on its way to the subject whose API is at `path`.
    fn to(self, path: &str) -> Vec<Upload> {
        self.queue.list.with(|list| list.iter().filter(|upload| upload.subject == path).cloned().collect())
    }
}

/// The files on their way to a subject.
#[component]
pub(super) fn UploadList(uploads: Uploads, subject: SubjectId) -> impl IntoView {
    let item = move |upload: Upload| {
        let (name, size) = (upload.file.name(), text::bytes(upload.file.size()));
        let (id, state) = (upload.id, RwSignal::from(upload.state));
        let words = move || match state.get() {
            State::Waiting => "Waits for its turn".to_owned(),
            State::Sending(share) if share >= 1.0 => "Being looked at".to_owned(),
            State::Sending(share) => format!("{:.0} %", share * 100.0),
            State::Again(None) => "The connection broke; trying again".to_owned(),
            State::Again(Some(why)) => format!("{why}; trying again"),
            State::Refused(why) => why,
        };
        let refused = move || matches!(state.get(), State::Refused(_));
        // What the server cannot take now need not be waited for.
        let may_go = move || matches!(state.get(), State::Refused(_) | State::Again(Some(_)));
        let share = move || match state.get() {
            State::Sending(share) => share,
            _ => 0.0,
        };
        view! {
            <li class="upload" class:bad=refused>
                <div class="upload-words">
                    <span class="upload-name">{name.clone()}</span>
                    <span class="quiet small">{size}</span>
                    <span class="small" role="status">{words}</span>
                </div>
                {move || {
                    (!refused())
                        .then(|| view! { <progress class="bar" aria-label=format!("Upload of {name}") max="1" prop:value=share></progress> })
                }}
                <button class="button plain square" on:click=move |_| uploads.queue.remove(id) hidden=move || !may_go()>
                    <Icon sign=Sign::Close />
                    <span class="visually-hidden">"Dismiss"</span>
                </button>
            </li>
        }
    };
    let path = uploads.path(&subject);
    view! {
        <ul class="uploads">
            <For each=move || uploads.to(&path) key=|upload| upload.id children=item />
        </ul>
    }
}
