//! Files on their way to the server: several at once, each with its progress, sent again after the connection broke.

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::Photo;
use mudi_domain::subject::SubjectId;
use web_sys::{File, FileList};

use crate::api::{self, ApiError};
use crate::frame::{TheProject, the_project};
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
    /// The connection broke; it is sent again by itself.
    Again,
    /// The server does not want it.
    Refused(String),
}

/// A file on its way.
#[derive(Clone, Copy)]
struct Upload {
    id: u32,
    subject: StoredValue<SubjectId>,
    file: StoredValue<File, LocalStorage>,
    state: RwSignal<State>,
}

/// The files on their way from a page.
#[derive(Clone, Copy)]
pub(super) struct Uploads {
    list: RwSignal<Vec<Upload>>,
    count: StoredValue<u32>,
    the: TheProject,
    /// Called when a file has arrived.
    arrived: Callback<()>,
}

impl Uploads {
    /// None yet; `arrived` is called for each that has arrived.
    pub(super) fn new(arrived: Callback<()>) -> Self {
        Self { list: RwSignal::new(Vec::new()), count: StoredValue::new(0), the: the_project(), arrived }
    }

    /// Sends files as photos of `subject`; how many there were.
    pub(super) fn add(self, subject: &SubjectId, files: &FileList) -> usize {
        let files: Vec<File> = (0..files.length()).filter_map(|index| files.get(index)).collect();
        let count = files.len();
        let new = files.into_iter().map(|file| {
            self.count.update_value(|count| *count += 1);
            Upload {
                id: self.count.get_value(),
                subject: StoredValue::new(subject.clone()),
                file: StoredValue::new_local(file),
                state: RwSignal::new(State::Waiting),
            }
        });
        self.list.update(|list| list.extend(new));
        self.go_on();
        count
    }

    /// Begins to send what waits, while not too many are being sent.
    fn go_on(self) {
        let Some(list) = self.list.try_get_untracked() else { return };
        let busy =
            |upload: &&Upload| matches!(upload.state.get_untracked(), State::Sending(_) | State::Again);
        let free = AT_ONCE.saturating_sub(list.iter().filter(busy).count());
        let waiting = list.iter().filter(|upload| upload.state.get_untracked() == State::Waiting);
        for upload in waiting.take(free) {
            upload.state.set(State::Sending(0.0));
            spawn_local(self.send(*upload));
        }
    }

    async fn send(self, upload: Upload) {
        let file = upload.file.get_value();
        let name = String::from(js_sys::encode_uri_component(&file.name()));
        let subject = String::from(js_sys::encode_uri_component(upload.subject.get_value().as_str()));
        let path = self.the.path_now(&format!("subjects/{subject}/photos?name={name}"));
        let mut pause = PAUSE.0;
        loop {
            let progress = move |share| drop(upload.state.try_set(State::Sending(share)));
            match api::upload::<Photo>(&path, &file, progress).await {
                Ok(_) => {
                    self.remove(upload.id);
                    self.arrived.try_run(());
                    break;
                }
                // A file that is no photo stays none; what the server could not do now it may do later.
                Err(error @ ApiError::Problem(_)) if !may_pass(&error) => {
                    upload.state.try_set(State::Refused(error.to_string()));
                    break;
                }
                Err(_) => {
                    // The same file again is the same photo, so nothing can be there twice.
                    if upload.state.try_set(State::Again).is_some() {
                        break;
                    }
                    TimeoutFuture::new(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
        self.go_on();
    }

    fn remove(self, id: u32) {
        self.list.try_update(|list| list.retain(|upload| upload.id != id));
    }

    /// Whether there is any on its way to `subject`.
    fn of(self, subject: &SubjectId) -> Vec<Upload> {
        let mut list = self.list.get();
        list.retain(|upload| upload.subject.with_value(|other| other == subject));
        list
    }
}

fn may_pass(error: &ApiError) -> bool {
    matches!(error.code(), "too_often" | "disk_full" | "internal" | "invalid")
}

/// The files on their way to a subject.
#[component]
pub(super) fn UploadList(uploads: Uploads, subject: SubjectId) -> impl IntoView {
    let item = move |upload: Upload| {
        let file = upload.file.get_value();
        let (name, size) = (file.name(), text::bytes(file.size()));
        let words = move || match upload.state.get() {
            State::Waiting => "Waits for its turn".to_owned(),
            State::Sending(share) if share >= 1.0 => "Being looked at".to_owned(),
            State::Sending(share) => format!("{:.0} %", share * 100.0),
            State::Again => "The connection broke; trying again".to_owned(),
            State::Refused(why) => why,
        };
        let refused = move || matches!(upload.state.get(), State::Refused(_));
        let share = move || match upload.state.get() {
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
                <button class="button plain square" on:click=move |_| uploads.remove(upload.id) hidden=move || !refused()>
                    <Icon sign=Sign::Close />
                    <span class="visually-hidden">"Dismiss"</span>
                </button>
            </li>
        }
    };
    view! {
        <ul class="uploads">
            <For each=move || uploads.of(&subject) key=|upload| upload.id children=item />
        </ul>
    }
}
