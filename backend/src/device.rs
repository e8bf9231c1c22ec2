//! Where a job runs.

use std::fmt;
use std::str::FromStr;

use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::Precision;

/// A device, as a flag names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor, with kernels of its own.
    #[default]
    Cpu,
    /// The processor, with the operations that graphics cards use: to try that path without one.
    ComposedCpu,
    /// The CUDA device with this number.
    Cuda(usize),
    /// The Metal device with this number.
    Metal(usize),
}

impl Device {
    /// Starts it. Where weights are held in two bytes a graphics card computes in bf16, if it can.
    ///
    /// # Errors
    /// A program that was built without the device's feature; a device that is not there. The message says what to do.
    pub fn engine(self, precision: Precision) -> mudi_diffusion::Result<CandleEngine> {
        use candle_core::DType;
        let half = precision != Precision::Single;
        let engine = match self {
            Self::Cpu => return Ok(CandleEngine::cpu()),
            Self::ComposedCpu => return CandleEngine::composed(candle_core::Device::Cpu, DType::F32),
            Self::Cuda(number) => CandleEngine::cuda(number)?,
            Self::Metal(number) => CandleEngine::metal(number)?,
        };
        if half && engine.knows_bf16() {
            CandleEngine::composed(engine.device().clone(), DType::BF16)
        } else {
            Ok(engine)
        }
    }

    /// Bytes of its memory that a job can have now, where that is told.
    #[must_use]
    pub fn free_memory(self) -> Option<usize> {
        if self.is_cpu() {
            return crate::plan::available_memory();
        }
        self.engine(Precision::Single).ok()?.free_memory()
    }

    /// Whether it is the processor, whose memory is the machine's.
    #[must_use]
    pub fn is_cpu(self) -> bool {
        matches!(self, Self::Cpu | Self::ComposedCpu)
    }
}

/// Whether a device says so that its memory was not enough; the engine passes on what CUDA's driver, its libraries and Metal say.
#[must_use]
pub fn is_out_of_memory(detail: &str) -> bool {
    let detail = detail.to_lowercase();
    [
        "out of memory",
        "out_of_memory",
        "outofmemory",
        "status_alloc_failed",
        "insufficient memory",
        "failed to create metal resource",
    ]
    .iter()
    .any(|words| detail.contains(words))
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, number) = match text.split_once(':') {
            Some((kind, number)) => (kind, number.parse().ok()),
            None => (text, Some(0)),
        };
        match (kind, number) {
            ("cpu", Some(0)) => Ok(Self::Cpu),
            ("composed-cpu", Some(0)) => Ok(Self::ComposedCpu),
            ("cuda", Some(number)) => Ok(Self::Cuda(number)),
            ("metal", Some(number)) => Ok(Self::Metal(number)),
            _ => Err("cpu, cuda, metal, or one with its number, as cuda:1, is needed".to_owned()),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::ComposedCpu => f.write_str("composed-cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal(number) => write!(f, "metal:{number}"),
        }
    }
}

/// Different devices, at least one, as a setting names them: `cuda:0,cuda:1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices(Vec<Device>);

impl Devices {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Device> + '_ {
        self.0.iter().copied()
    }

    /// The one that is planned for before one of them takes a job: a graphics card where there is one.
    #[must_use]
    pub fn planned(&self) -> Device {
        self.iter().find(|device| !device.is_cpu()).unwrap_or_default()
    }
}

impl FromStr for Devices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut devices = Vec::new();
        for name in text.split(',') {
            let device = name.trim().parse()?;
            if devices.contains(&device) {
                return Err(format!("{device} is named twice"));
            }
            devices.push(device);
        }
        Ok(Self(devices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_devices_are_named_once_each() {
        let several: Devices = "cuda:0, cuda:1".parse().unwrap();
        assert!(several.iter().eq([Device::Cuda(0), Device::Cuda(1)]));
        for (names, planned) in [
            ("cuda:1,cuda:0", Device::Cuda(1)),
            ("cpu,metal", Device::Metal(0)),
            ("composed-cpu,cpu", Device::Cpu),
        ] {
            assert_eq!(names.parse::<Devices>().unwrap().planned(), planned, "{names}");
        }
        for wrong in ["", "cpu,", "cuda,cuda:0", "cpu cuda"] {
            assert!(wrong.parse::<Devices>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn devices_are_named() {
        for device in [Device::Cpu, Device::ComposedCpu, Device::Cuda(0), Device::Cuda(3), Device::Metal(1)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cpu:1", "metal:-1"] {
            assert!(wrong.parse::<Device>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_for_too_little_memory() {
        for said in ["DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")", "CUBLAS_STATUS_ALLOC_FAILED"]
        {
            assert!(is_out_of_memory(said), "{said}");
        }
        assert!(!is_out_of_memory("DriverError(CUDA_ERROR_NO_DEVICE)"));
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_program_without_cuda_says_so() {
        let error = Device::Cuda(0).engine(Precision::Half).unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
    }
}
