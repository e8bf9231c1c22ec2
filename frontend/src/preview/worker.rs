//! The worker: owns the GPU and the model, and paints what was wished for last.

use std::cell::RefCell;
use std::rc::Rc;

use gloo_worker::{HandlerId, Registrable, Worker, WorkerScope};
use mudi_domain::api::PreviewModel;
use mudi_engine_candle::CandleEngine;
use mudi_engine_wgpu::{Gpu, GpuError, Settings, WgpuEngine};
use mudi_preview::{Model, Painter, Painting, Picture, PreviewError};
use wasm_bindgen_futures::spawn_local;

use super::protocol::{Ask, Device, Tell, Wish};
use super::weights;

/// Makes the worker ready to be spoken to.
pub(super) fn register() {
    PreviewWorker::registrar().register();
}

/// What runs in the worker.
pub(crate) struct PreviewWorker {
    desk: Rc<RefCell<Desk>>,
}

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
    device: Device,
}

impl Worker for PreviewWorker {
    type Message = ();
    type Input = Ask;
    type Output = Tell;

    fn create(_scope: &WorkerScope<Self>) -> Self {
        Self { desk: Rc::default() }
    }

    fn update(&mut self, _scope: &WorkerScope<Self>, (): ()) {}

    fn received(&mut self, scope: &WorkerScope<Self>, ask: Ask, id: HandlerId) {
        let mut desk = self.desk.borrow_mut();
        desk.asked += 1;
        match ask {
            Ask::Load { project, model, device } => desk.load = Some(Load { project, model, device }),
            Ask::Paint { number, wish } => desk.wish = Some((number, wish)),
            Ask::Rest => desk.wish = None,
            Ask::LoseDevice => desk.lose = true,
        }
        if !std::mem::replace(&mut desk.working, true) {
            let scope = scope.clone();
            let tell = move |tell: Tell| scope.respond(id, tell);
            spawn_local(work(self.desk.clone(), tell));
        }
    }
}

thread_local! {
    /// The painter of this worker, kept between asks.
    static PAINTER: RefCell<Option<(Load, Hand)>> = const { RefCell::new(None) };
}

/// A painter on either engine.
enum Hand {
    Gpu(Box<Painter<WgpuEngine>>),
    Cpu(Box<Painter<CandleEngine>>),
}

/// Does what is on the desk until nothing is left.
async fn work(desk: Rc<RefCell<Desk>>, tell: impl Fn(Tell)) {
    let (mut load, mut hand) = PAINTER.take().unzip();
    // Losing the GPU once is bad luck; over and over there is no use in trying.
    let mut lost = 0;
    loop {
        let (wanted, wish, asked, lose) = {
            let mut desk = desk.borrow_mut();
            (desk.load.take(), desk.wish.take(), desk.asked, std::mem::take(&mut desk.lose))
        };
        if let Some(wanted) = wanted {
            // The old model's memory first.
            hand = None;
            load = Some(wanted);
        }
        if lose && let Some(Hand::Gpu(painter)) = &hand {
            painter.engine().gpu().destroy();
        }
        let Some(loading) = &load else { break };
        if hand.is_none() {
            match begin(loading, &tell).await {
                Ok(made) => hand = Some(made),
                Err(reason) => {
                    tell(Tell::Failed { reason });
                    load = None;
                    continue;
                }
            }
        }
        let Some(ready) = &mut hand else { break };
        let Some((number, wish)) = wish.or_else(|| desk.borrow_mut().wish.take()) else { break };
        let asked = asked.max(desk.borrow().asked);
        let painted = match ready {
            Hand::Gpu(painter) => paint(painter, number, &wish, asked, &desk, &tell).await,
            Hand::Cpu(painter) => paint(painter, number, &wish, asked, &desk, &tell).await,
        };
        match painted {
            Ok(()) => lost = 0,
            Err(error) if lost < 3 && is_lost(&error) => {
                lost += 1;
                tell(Tell::Lost);
                hand = None;
                let mut desk = desk.borrow_mut();
                // What was wished for is still wished for, unless something else is.
                if desk.wish.is_none() && desk.asked == asked {
                    desk.wish = Some((number, wish));
                }
            }
            Err(error) => tell(Tell::Failed { reason: error.to_string() }),
        }
    }
    PAINTER.set(load.zip(hand));
    desk.borrow_mut().working = false;
}

fn is_lost(error: &PreviewError) -> bool {
    let PreviewError::Network(mudi_diffusion::Error::Engine(cause)) = error else { return false };
    matches!(cause.downcast_ref(), Some(GpuError::Lost { .. }))
}

/// Loads the model onto the best device.
async fn begin(load: &Load, tell: &impl Fn(Tell)) -> Result<Hand, String> {
    let gpu = match load.device {
        Device::Any => Gpu::start().await,
        Device::Cpu => Err(GpuError::NoAdapter { reason: "the processor was asked for".to_owned() }),
    };
    let (files, lora) = weights::all(&load.project, &load.model, |received, total| {
        tell(Tell::Loading { received, total });
    })
    .await?;
    let lora = lora.as_ref().map(|(bytes, alpha)| (bytes.as_slice(), *alpha));
    let words = |error: PreviewError| error.to_string();
    match gpu {
        Ok(gpu) => {
            let adapter = gpu.adapter.clone();
            let settings = Settings::for_adapter(&adapter);
            let engine = WgpuEngine::new(gpu, settings).map_err(|error| error.to_string())?;
            let model = Model::load(&engine, files, lora).map_err(words)?;
            tell(Tell::Ready { device: adapter.name, gpu: true, emulated: adapter.emulated });
            Ok(Hand::Gpu(Box::new(Painter::new(engine, model))))
        }
        Err(why) => {
            let engine = CandleEngine::cpu();
            let model = Model::load(&engine, files, lora).map_err(words)?;
            let reason = match why {
                GpuError::NoAdapter { reason } | GpuError::NoDevice { reason, .. } => reason,
                other => other.to_string(),
            };
            tell(Tell::Ready { device: reason, gpu: false, emulated: false });
            Ok(Hand::Cpu(Box::new(Painter::new(engine, model))))
        }
    }
}

/// Paints, step by step, until the picture is finished or something else was asked for.
async fn paint<E: mudi_diffusion::Readable>(
    painter: &mut Painter<E>,
    number: u64,
    wish: &Wish,
    asked: u64,
    desk: &Rc<RefCell<Desk>>,
    tell: &impl Fn(Tell),
) -> Result<(), PreviewError> {
    let mut painting: Painting<E> = painter.begin(full(wish))?;
    while !painting.done() {
        // An engine that never waits would keep messages from coming in.
        gloo_timers::future::TimeoutFuture::new(0).await;
        if desk.borrow().asked != asked {
            return Ok(());
        }
        let begun = js_sys::Date::now();
        let Picture { width, pixels, .. } = painter.step(&mut painting).await?;
        tell(Tell::Picture {
            number,
            step: painting.step() as u32,
            steps: wish.steps,
            side: width as u32,
            pixels,
            milliseconds: js_sys::Date::now() - begun,
        });
    }
    Ok(())
}

fn full(wish: &Wish) -> mudi_preview::Wish {
    mudi_preview::Wish {
        prompt: wish.prompt.clone(),
        negative: wish.negative.clone(),
        canvas: wish.canvas.as_ref().map(|canvas| mudi_preview::Canvas {
            side: canvas.side as usize,
            pixels: canvas.pixels.clone(),
            mask: canvas.mask.clone(),
        }),
        gamma: wish.gamma,
        seed: wish.seed,
        sampler: mudi_diffusion::schedule::SamplerKind::default(),
        karras: false,
        steps: wish.steps as usize,
        guidance: wish.guidance,
        lora_scale: 1.0,
    }
}
