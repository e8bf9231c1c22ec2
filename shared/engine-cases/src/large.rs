//! Operations as large as those of real models, for which engines have other kernels: too large to be differentiated numerically.

use mudi_diffusion::{ConvGeometry, Engine};

use crate::Case;
use crate::operations::case;

/// The operations. Products have more than 256 * 1024 results, in numbers that no tile divides; the tensor that is scaled has more
/// elements than one row of workgroups.
#[must_use]
pub fn large<E: Engine>() -> Vec<Case<E>> {
    vec![
        case("linear, large", &[&[1050, 32], &[260, 32], &[260]], |e: &E, t: &[E::Tensor]| {
            e.linear(&t[0], &t[1], Some(&t[2]))
        }),
        case("linear, large and odd", &[&[3, 403, 33], &[219, 33]], |e: &E, t: &[E::Tensor]| {
            e.linear(&t[0], &t[1], None)
        }),
        case("conv2d, large", &[&[2, 38, 45, 8], &[81, 3, 3, 8], &[81]], |e: &E, t: &[E::Tensor]| {
            e.conv2d(&t[0], &t[1], Some(&t[2]), ConvGeometry::same(3))
        }),
        case("conv2d, large and odd", &[&[2, 77, 83, 3], &[85, 3, 3, 3]], |e: &E, t: &[E::Tensor]| {
            e.conv2d(&t[0], &t[1], None, ConvGeometry { stride: 2, before: 0, after: 1 })
        }),
        case("scale, large", &[&[3, 699_061]], |e: &E, t: &[E::Tensor]| e.scale(&t[0], 1.5)),
    ]
}
