//! Ctrl-C while a command works that can go on later: the first one asks it to stop with all that is done, the second ends it at once.

use std::io::Write;
use std::sync::OnceLock;

use mudi::interrupt::{Interrupt, requested};

/// Exit code of a command that was stopped, as shells have it for Ctrl-C.
pub(super) const STOPPED: u8 = 130;

/// The wish of whoever has pressed Ctrl-C.
static ASKED: OnceLock<Interrupt> = OnceLock::new();

/// Whether somebody has asked to stop.
pub(super) fn was_asked() -> bool {
    ASKED.get().is_some_and(Interrupt::is_set)
}

/// What is set by the first Ctrl-C (or by a termination, as a computer that shuts down asks for it); `how` says how to go on. Where signals cannot
/// be heard Ctrl-C ends the program, as it does elsewhere.
pub(super) fn on_request(how: &'static str) -> Interrupt {
    let interrupt = ASKED.get_or_init(Interrupt::default).clone();
    let asked = interrupt.clone();
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
        std::thread::spawn(move || {
            runtime.block_on(async {
                if requested().await.is_err() {
                    return;
                }
                asked.set();
                // A closed standard error is no reason to go on.
                let _ = writeln!(
                    std::io::stderr(),
                    "\nStopping as soon as the step that is being made is done; {how}. Ctrl-C again stops at once."
                );
                if requested().await.is_ok() {
                    std::process::exit(i32::from(STOPPED));
                }
            });
        });
    }
    interrupt
}
