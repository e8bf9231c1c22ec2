//! Two LoRAs as one.

use candle_core::Tensor as Value;
use mudi_diffusion::lora::names::Part;

use super::{LoraError, LoraFile, Module};
use crate::weights::NamedTensors;

/// A LoRA that does what two do together.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Its factors, in PEFT's names; their products are scaled already.
    pub tensors: NamedTensors,
    /// The rank of all of them: the two LoRAs' together.
    pub rank: usize,
}

/// The factors of one layer, as files have them, `B` scaled.
struct Factors {
    /// `[r, I]` or `[r, I, k, k]`.
    down: Value,
    /// `[O, r]` or `[O, r, 1, 1]`.
    up: Value,
}

impl LoraFile {
    /// This LoRA and another one of the same base as one: the sum of two products of rank `r` and `s` is a product of rank `r + s`. Where
    /// only one of them adapts a layer, what the other would add is zeros.
    ///
    /// # Errors
    /// [`LoraError::Kind`] for layers that are not adapted by plain LoRA: DoRA's do not add up. [`LoraError::Layer`] for factors of a
    /// layer that do not fit together.
    pub fn joined(&self, other: &Self) -> Result<Joined, LoraError> {
        let ranks = [self.rank(), other.rank()];
        let mut tensors = NamedTensors::new();
        let only_here = self.modules().map(|module| (module, other.module(&module.name)));
        let only_there = other.modules().filter(|module| self.module(&module.name).is_none());
        for (first, second) in only_here {
            let one = Factors::of(self, first, ranks[0])?;
            let two = second.map(|second| Factors::of(other, second, ranks[1])).transpose()?;
            let both = one.beside(two, ranks[1]).map_err(|error| self.fault(first, &error))?;
            both.put(&first.name, &mut tensors);
        }
        for second in only_there {
            let two = Factors::of(other, second, ranks[1])?;
            let both = two.beside(None, ranks[0]).map_err(|error| other.fault(second, &error))?;
            both.put(&second.name, &mut tensors);
        }
        Ok(Joined { tensors, rank: ranks[0] + ranks[1] })
    }

    /// Whether it can be [joined](Self::joined) to another one.
    ///
    /// # Errors
    /// [`LoraError::Kind`] and [`LoraError::Layer`] where it cannot.
    pub fn check_joinable(&self) -> Result<(), LoraError> {
        self.modules().try_for_each(|module| Factors::of(self, module, self.rank()).map(drop))
    }

    fn fault(&self, module: &Module, error: &candle_core::Error) -> LoraError {
        LoraError::Layer { path: self.path.clone(), layer: module.name.clone(), reason: error.to_string() }
    }
}

impl Factors {
    /// Those of a layer, filled with zeros to the rank `rank`.
    fn of(file: &LoraFile, module: &Module, rank: usize) -> Result<Self, LoraError> {
        let (path, layer) = (|| file.path.clone(), || module.name.clone());
        let kind = module.kind();
        let (Some(down), Some(up), "LoRA") = (module.part(Part::Down), module.part(Part::Up), kind) else {
            let purpose = "cannot be added to another one; go on from a run of plain LoRA";
            return Err(LoraError::Kind { path: path(), layer: layer(), kind, purpose });
        };
        let own = down.dims().first().copied().unwrap_or(0);
        let scale =
            module.scale(own).map_err(|reason| LoraError::Layer { path: path(), layer: layer(), reason })?;
        let made = || -> candle_core::Result<Self> {
            let up = if scale == 1.0 { up.clone() } else { (up * f64::from(scale))? };
            Self { down: down.clone(), up }.beside(None, rank.saturating_sub(own))
        };
        made().map_err(|error| file.fault(module, &error))
    }

    /// With those of another LoRA, or with so many ranks of zeros.
    fn beside(self, other: Option<Self>, zeros: usize) -> candle_core::Result<Self> {
        let other = match other {
            Some(other) => other,
            None if zeros == 0 => return Ok(self),
            None => {
                let mut down = self.down.dims().to_vec();
                let mut up = self.up.dims().to_vec();
                (down[0], up[1]) = (zeros, zeros);
                let of = |shape: Vec<usize>, like: &Value| Value::zeros(shape, like.dtype(), like.device());
                Self { down: of(down, &self.down)?, up: of(up, &self.up)? }
            }
        };
        Ok(Self {
            down: Value::cat(&[&self.down, &other.down], 0)?,
            up: Value::cat(&[&self.up, &other.up], 1)?.contiguous()?,
        })
    }

    fn put(self, layer: &str, tensors: &mut NamedTensors) {
        tensors.insert(format!("{layer}.lora_A.weight"), self.down);
        tensors.insert(format!("{layer}.lora_B.weight"), self.up);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;

    fn value(from: f32, shape: &[usize]) -> Value {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|at| from + 0.5 * at as f32).collect();
        Value::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn file(layers: &[(&str, usize, &[usize])], alpha: f32) -> LoraFile {
        let mut tensors = NamedTensors::new();
        for (at, (layer, rank, kernel)) in layers.iter().enumerate() {
            let from = at as f32 - alpha;
            let ones = vec![1; kernel.len()];
            let down = [&[*rank, 3], *kernel].concat();
            let up = [&[4, *rank], ones.as_slice()].concat();
            tensors.insert(format!("unet.{layer}.lora_A.weight"), value(from, &down));
            tensors.insert(format!("unet.{layer}.lora_B.weight"), value(from + 1.0, &up));
        }
        LoraFile::from_tensors(Path::new("lora.safetensors"), tensors, Some(alpha)).unwrap()
    }

    /// What a LoRA adds to a layer's weight.
    fn delta(file: &LoraFile, layer: &str) -> Option<Vec<f32>> {
        let (down, up, scale) = file.module(&format!("unet.{layer}"))?.factors().unwrap();
        let product = (up.matmul(&down).unwrap() * f64::from(scale)).unwrap();
        Some(product.flatten_all().unwrap().to_vec1().unwrap())
    }

    #[test]
    fn a_joined_lora_adds_what_both_add() {
        let first = file(&[("a.to_q", 2, &[]), ("b.conv1", 2, &[3, 3]), ("c.to_k", 1, &[])], 3.0);
        let second = file(&[("a.to_q", 4, &[]), ("b.conv1", 4, &[3, 3]), ("d.to_v", 4, &[])], 4.0);
        let joined = first.joined(&second).unwrap();
        assert_eq!(joined.rank, 6);
        let both = LoraFile::from_tensors(Path::new("joined"), joined.tensors, Some(6.0)).unwrap();
        for layer in ["a.to_q", "b.conv1", "c.to_k", "d.to_v"] {
            let one = delta(&first, layer);
            let two = delta(&second, layer);
            let sum: Vec<f32> = match (one, two) {
                (Some(one), Some(two)) => one.iter().zip(two).map(|(one, two)| one + two).collect(),
                (one, two) => one.or(two).unwrap(),
            };
            let found = delta(&both, layer).unwrap();
            assert_eq!(found.len(), sum.len(), "{layer}");
            assert!(found.iter().zip(&sum).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs()), "{layer}");
        }
        assert_eq!(both.len(), 4);
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let plain = file(&[("a.to_q", 2, &[])], 2.0);
        let mut tensors = NamedTensors::new();
        tensors.insert("unet.a.to_q.lora_A.weight".to_owned(), value(0.0, &[2, 3]));
        tensors.insert("unet.a.to_q.lora_B.weight".to_owned(), value(0.0, &[4, 2]));
        tensors.insert("unet.a.to_q.lora_magnitude_vector".to_owned(), value(1.0, &[4]));
        let dora = LoraFile::from_tensors(Path::new("dora"), tensors, None).unwrap();
        assert!(plain.check_joinable().is_ok() && dora.check_joinable().is_err());
        let said = dora.joined(&plain).unwrap_err().to_string();
        assert!(said.contains("DoRA") && said.contains("plain LoRA"), "{said}");
        let mut tensors = NamedTensors::new();
        tensors.insert("unet.a.to_q.lora_A.weight".to_owned(), value(0.0, &[2, 5]));
        tensors.insert("unet.a.to_q.lora_B.weight".to_owned(), value(0.0, &[4, 2]));
        let other = LoraFile::from_tensors(Path::new("other"), tensors, None).unwrap();
        assert!(matches!(plain.joined(&other), Err(LoraError::Layer { .. })));
    }
}
