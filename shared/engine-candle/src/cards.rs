//! Graphics cards, each started once in a process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor as Value};

/// Those that have been started. What is on a card serves all engines that compute there: a model that an earlier job has left, kernels that
/// the driver has translated.
static CARDS: Mutex<BTreeMap<Card, Device>> = Mutex::new(BTreeMap::new());

/// A card, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Card {
    Cuda(usize),
    Metal(usize),
}

impl Card {
    /// The card's device, the same at each call.
    ///
    /// # Errors
    /// A program that was built without it; a card that is not there, or whose driver does not take the program's kernels.
    pub(crate) fn start(self) -> Result<Device> {
        let mut cards = CARDS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = cards.get(&self) {
            return Ok(device.clone());
        }
        let device = match self {
            Self::Cuda(number) => cuda(number)?,
            Self::Metal(number) => metal(number)?,
        };
        // Kernels are loaded when they are first needed: a driver that is too old for them shall be told of now.
        product_in(&device, DType::F32)?;
        cards.insert(self, device.clone());
        Ok(device)
    }
}

/// Whether the card computes in bf16: NVIDIA's before Ampere have no kernels for it, nor has Metal before macOS 14.
pub(crate) fn knows_bf16(device: &Device) -> bool {
    product_in(device, DType::BF16).is_ok_and(|product| product == [2.0; 4])
}

/// A small product in `dtype`, computed on the device.
fn product_in(device: &Device, dtype: DType) -> Result<Vec<f32>> {
    let ones = Value::ones((2, 2), DType::F32, device)?.to_dtype(dtype)?;
    ones.matmul(&ones)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// Bytes of a card's memory that can be had, where its driver tells. What was let go is had again when all that was asked of the card is done.
pub(crate) fn free_memory(device: &Device) -> Option<usize> {
    device.synchronize().ok()?;
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(card) => card.cuda_stream().context().mem_get_info().ok().map(|(free, _)| free),
        // Macs share theirs; Metal says how much of it a program should take at most.
        #[cfg(feature = "metal")]
        Device::Metal(card) => {
            let card = card.metal_device();
            Some(card.recommended_max_working_set_size().saturating_sub(card.current_allocated_size()))
        }
        _ => None,
    }
}

/// A device of Metal's. Candle panics where there is no such number.
fn metal(number: usize) -> Result<Device> {
    std::panic::catch_unwind(|| Device::new_metal(number))
        .unwrap_or_else(|_| candle_core::bail!("there is no device with this number"))
}

/// A CUDA device with one stream for all threads. What `Device::new_cuda` gives has one for each thread, and nothing that makes them wait
/// for each other: values would be read on one thread before another's kernels have written them.
fn cuda(number: usize) -> Result<Device> {
    let device = Device::new_cuda_with_stream(number)?;
    #[cfg(feature = "cuda")]
    without_events(&device)?;
    Ok(device)
}

/// Saves the events, some ten calls of the driver for each operation, by which streams would wait for each other.
#[cfg(feature = "cuda")]
#[allow(unsafe_code)]
fn without_events(device: &Device) -> Result<()> {
    let device = device.as_cuda_device()?;
    // SAFETY: memory must not be used or freed on one stream while another works on it. There is one: a card is started once in
    // a process, with a stream of its own, and candle's kernels, cuBLAS, cuDNN and FlashAttention are all given that stream.
    unsafe { device.disable_event_tracking() };
    Ok(())
}
