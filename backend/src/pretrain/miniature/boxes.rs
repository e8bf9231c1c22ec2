//! How far a box is from the truth, and the slope of that.

/// Left, top, right and bottom of a box that is given by its centre and its size.
pub(super) fn corners([x, y, width, height]: [f32; 4]) -> [f32; 4] {
    [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0]
}

/// Generalized intersection over union (Rezatofighi et al., 2019) of two boxes (left, top, right, bottom; not empty), and its
/// derivatives by the corners of the first.
pub(super) fn giou(a: [f32; 4], b: [f32; 4]) -> (f32, [f32; 4]) {
    let area = |[x0, y0, x1, y1]: [f32; 4]| (x1 - x0) * (y1 - y0);
    let (wide, high) = (a[2].min(b[2]) - a[0].max(b[0]), a[3].min(b[3]) - a[1].max(b[1]));
    let meet = wide > 0.0 && high > 0.0;
    let intersection = if meet { wide * high } else { 0.0 };
    let (hull_wide, hull_high) = (a[2].max(b[2]) - a[0].min(b[0]), a[3].max(b[3]) - a[1].min(b[1]));
    let hull = hull_wide * hull_high;
    let union = area(a) + area(b) - intersection;
    let value = intersection / union - 1.0 + union / hull;

    let (own_wide, own_high) = (a[2] - a[0], a[3] - a[1]);
    let d_area = [-own_high, -own_wide, own_high, own_wide];
    let where_meets = |inside: bool, slope: f32| if meet && inside { slope } else { 0.0 };
    let d_intersection = [
        where_meets(a[0] > b[0], -high),
        where_meets(a[1] > b[1], -wide),
        where_meets(a[2] < b[2], high),
        where_meets(a[3] < b[3], wide),
    ];
    let where_outer = |outer: bool, slope: f32| if outer { slope } else { 0.0 };
    let d_hull = [
        where_outer(a[0] < b[0], -hull_high),
        where_outer(a[1] < b[1], -hull_wide),
        where_outer(a[2] > b[2], hull_high),
        where_outer(a[3] > b[3], hull_wide),
    ];
    let slope = std::array::from_fn(|i| {
        let d_union = d_area[i] - d_intersection[i];
        d_intersection[i] / union - intersection * d_union / (union * union) + d_union / hull
            - union * d_hull[i] / (hull * hull)
    });
    (value, slope)
}

/// Derivatives by the corners as derivatives by centre and size.
pub(super) fn by_center([x0, y0, x1, y1]: [f32; 4]) -> [f32; 4] {
    [x0 + x1, y0 + y1, (x1 - x0) / 2.0, (y1 - y0) / 2.0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_by_hand() {
        let unit = [0.0, 0.0, 1.0, 1.0];
        assert_eq!(giou(unit, unit).0, 1.0);
        // A half each way: 1 of 7 in common, 2 of the hull's 9 are neither's.
        let (value, _) = giou([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]);
        assert!((value - (1.0 / 7.0 - 2.0 / 9.0)).abs() < 1e-6);
        // Apart: nothing in common, one of three is neither's.
        assert!((giou(unit, [2.0, 0.0, 3.0, 1.0]).0 + 1.0 / 3.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn slopes_are_differences(
            a in prop::array::uniform4(0.1f32..0.9), b in prop::array::uniform4(0.1f32..0.9), along in 0usize..4
        ) {
            const STEP: f32 = 1e-3;
            let at = |shift: f32| {
                let mut moved = a;
                moved[along] += shift;
                giou(corners(moved), corners(b)).0
            };
            let edges = corners(a).into_iter().zip(corners(b));
            // At a bend there is no slope.
            prop_assume!(edges.into_iter().all(|(a, b)| (a - b).abs() > 2.0 * STEP));
            let touching = |i: usize| (corners(a)[i] - corners(b)[(i + 2) % 4]).abs() < 2.0 * STEP;
            prop_assume!(!(0..4).any(touching));
            let found = by_center(giou(corners(a), corners(b)).1)[along];
            let expected = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            prop_assert!((found - expected).abs() < 0.02 * (1.0 + expected.abs()), "{found}, expected {expected}");
        }
    }
}
