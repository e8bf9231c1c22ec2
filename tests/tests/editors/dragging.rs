//! Whoever drags a subject for minutes, with the preview on, has at the end what there was at the beginning: no buffer of the GPU,
//! no memory of the page or of the worker is left behind.

use std::time::{Duration, Instant};

use mudi_tests::browser::Browser;
use mudi_tests::hands::{Kind, Place};
use serde_json::{Value, json};

use super::layouts::Desk;
use super::preview::{painted, previewing};

/// What is held once nothing moves any more, in bytes; what is garbage has been collected.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// By tensors and free buffers on the GPU.
    gpu: f64,
    /// By the worker's program and by the page's, which give nothing back.
    programs: [f64; 2],
    /// By the page's JavaScript.
    scripts: f64,
    /// How many nodes and listeners the page has: none of them in bytes.
    nodes: f64,
    listeners: f64,
    /// By all processes of the browser, the GPU's among them.
    processes: f64,
}

fn held(browser: &Browser) -> Held {
    std::thread::sleep(Duration::from_millis(500));
    painted(browser);
    let told = |name: &str| {
        let script = format!("return Number(document.querySelector('.live-status').dataset.{name})");
        browser.run(&script).as_f64().expect("a number")
    };
    for _ in 0..2 {
        browser.chromium("HeapProfiler.collectGarbage", &json!({}));
    }
    let metrics = browser.chromium("Performance.getMetrics", &json!({}));
    let metric = |name: &str| {
        let found = metrics["metrics"].as_array().into_iter().flatten().find(|metric| metric["name"] == name);
        found
            .and_then(|metric: &Value| metric["value"].as_f64())
            .unwrap_or_else(|| panic!("no {name}: {metrics}"))
    };
    Held {
        gpu: told("device"),
        programs: [told("worker"), told("page")],
        scripts: metric("JSHeapUsedSize"),
        nodes: metric("Nodes"),
        listeners: metric("JSEventListeners"),
        processes: browser.memory(),
    }
}

/// Drags subject `a` to another place and back, round about, for as long as that.
fn drag(desk: &Desk, long: Duration) -> u32 {
    let begin = Instant::now();
    let (here, there) = (desk.at((0.275, 0.43)), desk.at((0.5, 0.6)));
    let mut count = 0;
    while begin.elapsed() < long {
        for (from, to) in [(here, there), (there, here)] {
            let mut places: Vec<Place> = (0..24)
                .map(|step| {
                    let angle = f64::from(step) * std::f64::consts::TAU / 24.0;
                    (from.0 + 60.0 * angle.sin(), from.1 + 60.0 * (1.0 - angle.cos()))
                })
                .collect();
            places.push(to);
            desk.room.browser.drag(Kind::Mouse, &places);
            count += 1;
        }
        // Now and then the picture gets time to be finished, and the layout to be saved.
        if count % 10 == 0 {
            painted(&desk.room.browser);
        }
    }
    count
}

/// Drags for `warm`, looks at what is held, drags for `long`, and looks again.
fn level(warm: Duration, long: Duration) {
    let (desk, _) = previewing(Browser::open_with_gpu);
    let browser = &desk.room.browser;
    browser.chromium("Performance.enable", &json!({}));
    // What is dragged shall come back to its place to the pixel.
    browser.press("Snap");
    painted(browser);
    drag(&desk, warm);
    let before = held(browser);
    let count = drag(&desk, long);
    let after = held(browser);
    println!("before: {before:?}\nafter {count} drags in {} s: {after:?}", long.as_secs());

    const MIB: f64 = (1 << 20) as f64;
    let grown = |of: fn(&Held) -> f64| of(&after) - of(&before);
    assert!(before.gpu > 10.0 * MIB && grown(|held| held.gpu) <= 0.01 * before.gpu, "{before:?}, {after:?}");
    for program in 0..2 {
        let grown = after.programs[program] - before.programs[program];
        assert!(before.programs[program] > MIB && grown <= 2.0 * MIB, "{before:?}, {after:?}");
    }
    assert!(grown(|held| held.scripts) <= MIB, "{before:?}, {after:?}");
    assert!(grown(|held| held.nodes) <= 50.0, "{before:?}, {after:?}");
    assert!(grown(|held| held.listeners) <= 10.0, "{before:?}, {after:?}");
    assert!(grown(|held| held.processes) <= 0.15 * before.processes, "{before:?}, {after:?}");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn half_a_minute_of_dragging_leaves_nothing_behind() {
    level(Duration::from_secs(10), Duration::from_secs(25));
}

#[test]
#[ignore = "takes eleven minutes"]
fn ten_minutes_of_dragging_leave_nothing_behind() {
    level(Duration::from_secs(30), Duration::from_secs(600));
}
