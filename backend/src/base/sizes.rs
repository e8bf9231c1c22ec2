//! How large pictures of a base are.

use mudi_diffusion::unet::UNetConfig;
use mudi_domain::aspect::Aspect;
use mudi_domain::recipe::Recipe;

/// The sizes that a base's configurations lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Side of the square pictures that it was trained on, in pixels.
    pub side: usize,
    /// What both sides of pictures that are not square are multiples of, in pixels: each level of the denoiser halves them once.
    pub multiple: usize,
}

impl Sizes {
    /// Those of a denoiser of latents each of which stands for `reduction` pixels, in each direction.
    pub(crate) fn new(unet: &UNetConfig, reduction: usize) -> Self {
        Self { side: unet.sample_size.unwrap_or(64) * reduction, multiple: unet.reduction() * reduction }
    }

    /// Side of the square pictures that `recipe` teaches the base, in pixels: the recipe's, or the base's own.
    #[must_use]
    pub fn side_for(&self, recipe: Option<&Recipe>) -> usize {
        let side = recipe.map(|recipe| recipe.resolution as usize);
        side.filter(|&side| side > 0).unwrap_or(self.side)
    }

    /// Height and width, in pixels, of pictures of these proportions: where none are given, of those that `recipe` teaches the base.
    #[must_use]
    pub fn size_for(&self, recipe: Option<&Recipe>, aspect: Option<Aspect>) -> [usize; 2] {
        let aspect = aspect.or(recipe.map(|recipe| recipe.aspect)).unwrap_or_default();
        aspect.size(self.side_for(recipe), self.multiple)
    }
}
