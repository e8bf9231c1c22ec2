//! The worker: owns the engine and the model, and paints what was wished for last. In the mask editor it answers clicks
//! instead.

use std::cell::RefCell;
use std::rc::Rc;

use gloo_worker::{HandlerId, Worker, WorkerScope};
use mudi_domain::api::PreviewModel;
use mudi_preview::{Model, Painter, Painting, Picture, PreviewError, fit};
use wasm_bindgen_futures::spawn_local;

use super::clicks::Clicks;
use super::device::{About, Device, of_processor};
use super::latents::Latents;
use super::protocol::{Ask, Held, Tell, Wish};
use super::weights;
use crate::browser;

/// What runs in the worker. There is a program for each kind of device, so that nobody loads the other's; the page speaks to
/// both alike.
pub(crate) struct PreviewWorker<D: Device> {
    desk: Rc<RefCell<Desk>>,
    painter: Rc<RefCell<Option<Ready<D>>>>,
    clicks: Clicks<D>,
    latents: Latents<D>,
}

/// A model on a device.
type Ready<D> = (Load, Painter<<D as Device>::Engine>);

/// What has been asked for and not been done yet.
#[derive(Default)]
struct Desk {
    load: Option<Load>,
    wish: Option<(u64, Wish)>,
    /// Counts asks: work that was begun for an earlier one is dropped.
    asked: u64,
    lose: bool,
    working: bool,
}

#[derive(Clone)]
struct Load {
    project: String,
    model: PreviewModel,
    agreed: bool,
}

impl<D: Device> Worker for PreviewWorker<D> {
    type Message = ();
    type Input = Ask;
    type Output = Tell;

    fn create(_scope: &WorkerScope<Self>) -> Self {
        Self {
            desk: Rc::default(),
            painter: Rc::default(),
            clicks: Clicks::default(),
            latents: Latents::default(),
        }
    }

    fn update(&mut self, _scope: &WorkerScope<Self>, (): ()) {}

    fn received(&mut self, scope: &WorkerScope<Self>, ask: Ask, id: HandlerId) {
        let mut desk = self.desk.borrow_mut();
        desk.asked += 1;
        match ask {
            Ask::Load { project, model, agreed } => desk.load = Some(Load { project, model, agreed }),
            Ask::Paint { number, wish } => desk.wish = Some((number, wish)),
            Ask::Rest => desk.wish = None,
            Ask::LoseDevice => desk.lose = true,
            Ask::Latents(ask) => {
                let scope = scope.clone();
                return self.latents.received(ask, move |tell| scope.respond(id, Tell::Latents(tell)));
            }
            Ask::Click(ask) => {
                let scope = scope.clone();
                return self.clicks.received(ask, move |tell| scope.respond(id, Tell::Click(tell)));
            }
        }
        if !std::mem::replace(&mut desk.working, true) {
            let scope = scope.clone();
            let tell = move |tell: Tell| scope.respond(id, tell);
            spawn_local(work::<D>(self.desk.clone(), self.painter.clone(), tell));
        }
    }
}

/// Does what is on the desk until nothing is left.
async fn work<D: Device>(desk: Rc<RefCell<Desk>>, kept: Rc<RefCell<Option<Ready<D>>>>, tell: impl Fn(Tell)) {
    let (mut load, mut painter) = kept.take().unzip();
    // Losing the device once is bad luck; over and over there is no use in trying.
    let mut lost = 0;
    loop {
        let (wanted, lose) = {
            let mut desk = desk.borrow_mut();
            (desk.load.take(), std::mem::take(&mut desk.lose))
        };
        if let Some(wanted) = wanted {
            // The old model's memory first.
            painter = None;
            load = Some(wanted);
        }
        if lose && let Some(painter) = &painter {
            D::lose(painter.engine());
        }
        let Some(loading) = &load else { break };
        if painter.is_none() {
            match begin::<D>(loading, &tell).await {
                Ok(made) => painter = Some(made),
                Err(failed) => {
                    tell(failed);
                    load = None;
                    continue;
                }
            }
        }
        let Some(ready) = &mut painter else { break };
        // Only now: while the model was loaded other things have been asked for, and what was wished for before is out of date.
        let (wish, asked) = {
            let mut desk = desk.borrow_mut();
            if desk.load.is_some() || desk.lose {
                continue;
            }
            (desk.wish.take(), desk.asked)
        };
        let Some((number, wish)) = wish else { break };
        match paint::<D>(ready, number, &wish, asked, &desk, &tell).await {
            Ok(()) => lost = 0,
            Err(PreviewError::Network(error)) if lost < 3 && D::is_lost(&error) => {
                lost += 1;
                tell(Tell::Lost);
                painter = None;
                let mut desk = desk.borrow_mut();
                // What was wished for is still wished for, unless something else is.
                if desk.wish.is_none() && desk.asked == asked {
                    desk.wish = Some((number, wish));
                }
            }
            Err(error) => tell(Tell::Failed { reason: error.to_string() }),
        }
    }
    kept.replace(load.zip(painter));
    desk.borrow_mut().working = false;
}

/// Loads the model onto the device; what the page is told where that fails.
async fn begin<D: Device>(load: &Load, tell: &impl Fn(Tell)) -> Result<Painter<D::Engine>, Tell> {
    let failed = |reason: String| Tell::Failed { reason };
    // Before the model is loaded: without a device there is no use for it.
    let (engine, About { device, gpu, emulated, limits }) =
        D::start().await.map_err(|reason| Tell::NoDevice { reason })?;
    let memory = fit::whole(&load.model, &limits).map_err(|misfit| {
        // The processor has another memory, and its tensors may have any size.
        if gpu && fit::whole(&load.model, &of_processor()).is_ok() {
            Tell::NoDevice { reason: format!("the model does not fit the GPU, {misfit}") }
        } else {
            Tell::Misfit { reason: misfit.to_string() }
        }
    })?;
    if !load.agreed {
        let of_lora = load.model.lora.as_ref().map_or(0, |lora| lora.bytes);
        let bytes = weights::not_here(&load.model.files).await + of_lora;
        if bytes > fit::ASKED {
            return Err(Tell::Large { bytes, memory });
        }
    }
    let (files, lora) = weights::all(&load.project, &load.model, |received, total| {
        tell(Tell::Loading { received, total });
    })
    .await
    .map_err(|reason| failed(format!("The model cannot be loaded: {reason}.")))?;
    let lora = lora.as_ref().map(|(bytes, alpha)| (bytes.as_slice(), *alpha));
    let model = Model::load(&engine, files, lora).map_err(|error| failed(error.to_string()))?;
    tell(Tell::Ready { device, gpu, emulated });
    Ok(Painter::new(engine, model))
}

/// Paints, step by step, until the picture is finished or something else was asked for.
async fn paint<D: Device>(
    painter: &mut Painter<D::Engine>,
    number: u64,
    wish: &Wish,
    asked: u64,
    desk: &Rc<RefCell<Desk>>,
    tell: &impl Fn(Tell),
) -> Result<(), PreviewError> {
    let mut painting: Painting<D::Engine> = painter.begin(full(wish))?;
    while !painting.done() {
        // An engine that never waits would keep messages from coming in.
        gloo_timers::future::TimeoutFuture::new(0).await;
        if desk.borrow().asked != asked {
            return Ok(());
        }
        let begun = js_sys::Date::now();
        let Picture { width, height, pixels } = painter.step(&mut painting).await?;
        tell(Tell::Picture {
            number,
            step: painting.step() as u32,
            steps: wish.steps,
            width: width as u32,
            height: height as u32,
            pixels,
            milliseconds: js_sys::Date::now() - begun,
            held: Held { device: D::memory(painter.engine()), program: browser::program_memory() },
        });
    }
    Ok(())
}

fn full(wish: &Wish) -> mudi_preview::Wish {
    mudi_preview::Wish {
        prompt: wish.prompt.clone(),
        negative: wish.negative.clone(),
        canvas: wish.canvas.as_ref().map(|canvas| mudi_preview::Canvas {
            width: canvas.width as usize,
            height: canvas.height as usize,
            pixels: canvas.pixels.clone(),
            mask: canvas.mask.clone(),
        }),
        gamma: wish.gamma,
        seed: wish.seed,
        sampler: mudi_diffusion::schedule::SamplerKind::default(),
        karras: None,
        steps: wish.steps as usize,
        guidance: wish.guidance,
        lora_scale: 1.0,
    }
}
