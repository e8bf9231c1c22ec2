//! How far a job is: live, and what can be done about it.

use leptos::prelude::*;
use leptos::task::spawn_local;
use mudi_domain::api::{Access, Job, JobEvent, JobKind, JobState};

use crate::api::{self, listen};
use crate::clock::Clock;
use crate::frame::{Toasts, the_project};
use crate::text;
use crate::widgets::{Icon, Sign, Twice};

/// A job's state in a word.
#[component]
pub(crate) fn StateTag(
    /// The state.
    #[prop(into)]
    state: Signal<JobState>,
) -> impl IntoView {
    let words = move || match state.get() {
        JobState::Queued => ("tag", "Waits for its turn"),
        JobState::Running => ("tag busy", "Running"),
        JobState::Paused => ("tag warns", "Paused"),
        JobState::Waiting => ("tag warns", "Waits for room on the disk"),
        JobState::Done => ("tag good", "Done"),
        JobState::Failed => ("tag bad", "Failed"),
        JobState::Cancelled => ("tag", "Cancelled"),
    };
    view! { <span class=move || words().0>{move || words().1}</span> }
}

/// A job that is followed while the page shows it.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    /// What is known of it.
    pub(crate) job: RwSignal<Job>,
}

impl Work {
    /// A job to which nothing more happens.
    pub(crate) fn ended(job: Job) -> Self {
        Self { job: RwSignal::new(job) }
    }

    /// Follows a job; `heard` is told each of its events too.
    pub(crate) fn follow(job: Job, heard: impl Fn(&JobEvent) + Clone + 'static) -> Self {
        let the = the_project();
        let (id, state) = (job.id, job.state);
        let work = Self { job: RwSignal::new(job) };
        // Nothing more happens to it, and what it made is there. Of one that was cut short some is in its events alone.
        if state == JobState::Done {
            return work;
        }
        let listening = listen(
            the.id.get_untracked(),
            id,
            move |event| {
                heard(&event);
                // Events of the past do not change what the job has become since.
                if !state.is_over() {
                    work.hear(&event);
                }
            },
            move |now| drop(work.job.try_set(now)),
        );
        let held = StoredValue::new_local(Some(listening));
        on_cleanup(move || drop(held.try_update_value(Option::take)));
        work
    }

    fn hear(self, event: &JobEvent) {
        self.job.try_update(|job| match event {
            JobEvent::State { state, fault } => {
                job.position = None;
                job.state = *state;
                job.fault.clone_from(fault);
            }
            JobEvent::Progress { stage, step, steps, seconds_left, .. } => {
                job.stage.clone_from(stage);
                (job.step, job.steps, job.seconds_left) = (*step, *steps, *seconds_left);
            }
            JobEvent::Image { .. } | JobEvent::Mask { .. } | JobEvent::Score { .. } => {}
        });
    }

    /// The job's state.
    pub(crate) fn state(self) -> Signal<JobState> {
        Memo::new(move |_| self.job.with(|job| job.state)).into()
    }
}

/// A job's bar, its time left, and the buttons that pause, resume and cancel it, or put it away where it has failed.
#[component]
pub(crate) fn Progress(
    /// The job.
    work: Work,
    /// Told when a job that was over goes on: who follows it has to begin anew.
    #[prop(optional)]
    revived: Option<Callback<()>>,
    /// Puts the job away after it has failed.
    #[prop(optional)]
    dismiss: Option<Callback<()>>,
) -> impl IntoView {
    let the = the_project();
    let toasts = expect_context::<Toasts>();
    let job = work.job;
    let tell = move |what: &'static str| {
        let path = the.path_now(&format!("jobs/{}/{what}", job.with_untracked(|job| job.id)));
        let over = job.with_untracked(|job| job.state.is_over());
        spawn_local(async move {
            match api::post::<Job>(&path, &()).await {
                Ok(_) if over => drop(revived.map(|revived| revived.try_run(()))),
                Ok(changed) => drop(job.try_update(|job| job.state = changed.state)),
                Err(error) => toasts.fault(&error),
            }
        });
    };
    let act = move |what: &'static str| move |_| tell(what);
    let share = move || job.with(|job| if job.steps == 0 { 0.0 } else { job.step as f64 / job.steps as f64 });
    let clock = expect_context::<Clock>();
    let words = move || job.with(|job| words(job, clock));
    let state = work.state();
    // Whether somebody is sure is not asked anew when the job's turn comes.
    let goes = Memo::new(move |_| match state.get() {
        JobState::Queued => JobState::Running,
        state => state,
    });
    let buttons = move || {
        let state = goes.get();
        let may_edit = the.allows(Access::Editor);
        if state == JobState::Failed {
            let again = (may_edit && revived.is_some()).then(|| {
                view! { <button class="button" on:click=act("resume")><Icon sign=Sign::Play /> "Try again"</button> }
            });
            // When it ended is known a moment later.
            let ended = job.with_untracked(|job| job.finished.is_some());
            let away = dismiss.filter(|_| ended).map(|dismiss| {
                view! { <button class="button" on:click=move |_| dismiss.run(())><Icon sign=Sign::Close /> "Dismiss"</button> }
            });
            return Some(view! { {again} {away} }.into_any());
        }
        if state.is_over() || !may_edit {
            return None;
        }
        let first = if state == JobState::Running {
            view! { <button class="button" on:click=act("pause")><Icon sign=Sign::Pause /> "Pause"</button> }
                .into_any()
        } else {
            view! { <button class="button" on:click=act("resume")><Icon sign=Sign::Play /> "Resume"</button> }
                .into_any()
        };
        let cancel = if job.with_untracked(|job| job.kind == JobKind::Train) {
            view! {
                <Twice
                    label="Cancel"
                    class="danger"
                    question="A cancelled run cannot be resumed"
                    yes="Cancel for good"
                    no="Keep it"
                    act=Callback::new(move |()| tell("cancel"))
                >
                    <Icon sign=Sign::Stop />
                    "Cancel"
                </Twice>
            }
            .into_any()
        } else {
            view! { <button class="button danger" on:click=act("cancel")><Icon sign=Sign::Stop /> "Cancel"</button> }
                .into_any()
        };
        Some(view! { {first} {cancel} }.into_any())
    };
    view! {
        <div class="stack">
            <div class="card-head">
                <div class="row" role="status">
                    <StateTag state />
                    <span class="mono small" aria-live="off">{words}</span>
                </div>
                <div class="actions">{buttons}</div>
            </div>
            {move || {
                (!state.get().is_over())
                    .then(|| view! { <progress class="bar" max="1" aria-label="Progress" prop:value=share></progress> })
            }}
            {move || {
                job.with(|job| job.fault.clone())
                    .map(|fault| view! { <div class="notice bad" role="alert"><p>{fault.detail}</p></div> })
            }}
        </div>
    }
}

fn words(job: &Job, clock: Clock) -> String {
    let what = match job.kind {
        JobKind::Train => "",
        JobKind::Generate => "Pictures",
        JobKind::Segment => "Masks",
        JobKind::Evaluate => "Judging pictures",
    };
    // It may have failed while nobody looked: then it is of use to know what, and when.
    if let (JobState::Failed, Some(finished), false) = (job.state, job.finished, what.is_empty()) {
        return format!("{what}, {}", clock.ago(finished));
    }
    let place = job.position.filter(|before| *before > 0 && job.state == JobState::Queued);
    if let Some(before) = place {
        return format!("{} before it", text::count(before as usize, "job"));
    }
    if job.state == JobState::Queued {
        return String::new();
    }
    // What has no steps, like the loading of a model, says what it does.
    if job.steps == 0 {
        return job.stage.clone();
    }
    let left = job.seconds_left.filter(|_| job.state == JobState::Running);
    let left = left.map(|seconds| format!(", {} left", text::duration(seconds))).unwrap_or_default();
    format!("{}: {} of {}{left}", job.stage, job.step, job.steps)
}
