//! What may be wished for, whoever brings the wish: a request, or an archive.

use mudi_diffusion::schedule::SamplerKind;
use mudi_domain::api::{LayoutChoice, NewImages};

use super::extract::line;
use super::problem::ApiError;

/// Whether such images can be made.
pub(crate) fn images(new: &NewImages) -> Result<(), ApiError> {
    line("prompt", &new.prompt, 1, 1000)?;
    line("negative", new.negative.as_deref().unwrap_or_default(), 0, 1000)?;
    let numbers = [
        ("gamma", new.gamma.unwrap_or(0.0), -20.0),
        ("guidance", new.guidance, 0.0),
        ("lora_scale", new.lora_scale, -20.0),
    ];
    for (name, value, least) in numbers {
        if !(least..=100.0).contains(&value) {
            return Err(ApiError::refused(format!(
                "`{name}` is {value}; write a number from {least} to 100"
            )));
        }
    }
    for (name, value, most) in [("steps", new.steps, 1000), ("count", new.count, 64)] {
        if !(1..=most).contains(&value) {
            return Err(ApiError::refused(format!(
                "`{name}` is {value}; write a whole number from 1 to {most}"
            )));
        }
    }
    if new.sampler.parse::<SamplerKind>().is_err() {
        return Err(ApiError::refused("`sampler` is none of ddim, euler, euler-ancestral and dpmpp-2m"));
    }
    if let LayoutChoice::Fixed(layout) = &new.layout {
        layout.validate().map_err(|error| ApiError::refused(error.to_string()))?;
    }
    Ok(())
}

/// Whether the sampler has the spacing of noise levels that is asked for. Archives may hold a request that does not: its job has failed.
pub(crate) fn spacing(new: &NewImages) -> Result<(), ApiError> {
    let has_it = new.sampler.parse().is_ok_and(SamplerKind::supports_karras);
    if new.karras == Some(true) && !has_it {
        return Err(ApiError::refused(
            "Karras’ spacing (`karras`) is for the samplers euler and dpmpp-2m; choose one of these, or leave it out",
        ));
    }
    Ok(())
}
