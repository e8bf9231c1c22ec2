//! Where a picture lies on the screen: zooming, panning, fitting.

/// The largest scale: one pixel of the photo on so many of the screen.
pub const CLOSEST: f64 = 32.0;
/// What stays free around a picture that is fitted, in pixels of the screen.
const MARGIN: f64 = 16.0;
/// How much of a picture stays in sight at least, in pixels of the screen.
const KEPT: f64 = 48.0;

/// How a picture lies in a window of the screen. Pixels of the screen are CSS's, from the window's left and top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Pixels of the screen for one of the picture.
    pub scale: f64,
    /// Where the picture's left edge is on the screen.
    pub x: f64,
    /// Where its upper edge is.
    pub y: f64,
    /// Width and height of the window.
    window: (f64, f64),
    /// Width and height of the picture, in its own pixels.
    picture: (f64, f64),
}

impl View {
    /// A picture of that size, fitted to the window.
    #[must_use]
    pub fn new(picture: (u32, u32), window: (f64, f64)) -> Self {
        let picture = (f64::from(picture.0.max(1)), f64::from(picture.1.max(1)));
        let mut view = Self { scale: 1.0, x: 0.0, y: 0.0, window, picture };
        view.fit();
        view
    }

    /// The scale at which all of it is seen.
    fn fitting(&self) -> f64 {
        let inner = |window: f64| (window - 2.0 * MARGIN).max(1.0);
        (inner(self.window.0) / self.picture.0).min(inner(self.window.1) / self.picture.1).min(CLOSEST)
    }

    /// Shows all of it, in the middle.
    pub fn fit(&mut self) {
        self.scale = self.fitting();
        self.x = (self.window.0 - self.scale * self.picture.0) / 2.0;
        self.y = (self.window.1 - self.scale * self.picture.1) / 2.0;
    }

    /// The window has another size: the middle stays, and what was fitted stays so.
    pub fn resize(&mut self, window: (f64, f64)) {
        let fitted = {
            let mut fitted = *self;
            fitted.fit();
            fitted == *self
        };
        let middle = self.to_picture((self.window.0 / 2.0, self.window.1 / 2.0));
        self.window = window;
        if fitted {
            self.fit();
        } else {
            self.x = window.0 / 2.0 - middle.0 * self.scale;
            self.y = window.1 / 2.0 - middle.1 * self.scale;
            self.keep_in_sight();
        }
    }

    /// The window's size.
    #[must_use]
    pub fn window(&self) -> (f64, f64) {
        self.window
    }

    /// Makes it `factor` times as large; what lies at `at` on the screen stays there.
    pub fn zoom(&mut self, at: (f64, f64), factor: f64) {
        if !factor.is_finite() || factor <= 0.0 {
            return;
        }
        let fixed = self.to_picture(at);
        self.scale = (self.scale * factor).clamp(self.fitting().min(1.0) / 4.0, CLOSEST);
        self.x = at.0 - fixed.0 * self.scale;
        self.y = at.1 - fixed.1 * self.scale;
        self.keep_in_sight();
    }

    /// Moves it on the screen.
    pub fn pan(&mut self, by: (f64, f64)) {
        if by.0.is_finite() && by.1.is_finite() {
            (self.x, self.y) = (self.x + by.0, self.y + by.1);
            self.keep_in_sight();
        }
    }

    /// Two fingers that were at `before` are at `after` now: what lies under each stays there, but nothing is turned.
    pub fn pinch(&mut self, before: [(f64, f64); 2], after: [(f64, f64); 2]) {
        let middle = |[a, b]: [(f64, f64); 2]| ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0);
        let apart = |[a, b]: [(f64, f64); 2]| (a.0 - b.0).hypot(a.1 - b.1).max(1.0);
        let (from, to) = (middle(before), middle(after));
        self.pan((to.0 - from.0, to.1 - from.1));
        self.zoom(to, apart(after) / apart(before));
    }

    fn keep_in_sight(&mut self) {
        let bound = |start: f64, extent: f64, window: f64| {
            let kept = KEPT.min(extent).min(window);
            start.clamp((kept - extent).min(window - kept), (window - kept).max(kept - extent))
        };
        self.x = bound(self.x, self.scale * self.picture.0, self.window.0);
        self.y = bound(self.y, self.scale * self.picture.1, self.window.1);
    }

    /// The place in the picture that lies at `at` on the screen.
    #[must_use]
    pub fn to_picture(&self, at: (f64, f64)) -> (f64, f64) {
        ((at.0 - self.x) / self.scale, (at.1 - self.y) / self.scale)
    }

    /// Where a place in the picture lies on the screen.
    #[must_use]
    pub fn to_screen(&self, at: (f64, f64)) -> (f64, f64) {
        (at.0 * self.scale + self.x, at.1 * self.scale + self.y)
    }

    /// The reduction (1/2, 1/4, ... of the side: 1, 2, ...) that is about as fine as the screen, which has `density` pixels in one of CSS's.
    #[must_use]
    pub fn level(&self, density: f64) -> u32 {
        // Between 0.7 and 1.4 pixels for one of the screen.
        let wanted = -(self.scale * density.max(0.5)).log2();
        wanted.round().clamp(0.0, 16.0) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_large_photo_is_fitted_and_stays_so_in_another_window() {
        let mut view = View::new((6000, 4000), (1032.0, 832.0));
        assert!((view.scale - 1000.0 / 6000.0).abs() < 1e-12);
        assert_eq!(view.level(1.0), 3);
        view.resize((532.0, 832.0));
        assert_eq!(view, View::new((6000, 4000), (532.0, 832.0)));
        view.zoom((0.0, 0.0), 1e9);
        assert_eq!(view.scale, CLOSEST);
        assert_eq!(view.level(2.0), 0);
    }

    #[test]
    fn two_fingers_keep_what_is_under_them() {
        let mut view = View::new((600, 400), (800.0, 600.0));
        let before = [(300.0, 200.0), (400.0, 300.0)];
        let after = [(250.0, 150.0), (450.0, 350.0)];
        let under = before.map(|at| view.to_picture(at));
        view.pinch(before, after);
        for (at, under) in after.iter().zip(under) {
            let now = view.to_picture(*at);
            assert!((now.0 - under.0).hypot(now.1 - under.1) < 1e-9);
        }
    }

    proptest! {
        #[test]
        fn some_of_the_picture_is_always_in_sight(
            w in 1u32..9000, h in 1u32..9000, ww in 0.0..3000.0f64, wh in 0.0..3000.0f64,
            moves in proptest::collection::vec((-9e3..9e3f64, -9e3..9e3f64, 0.01..9.0f64), 0..9),
        ) {
            let mut view = View::new((w, h), (ww, wh));
            for (x, y, factor) in moves {
                view.pan((x, y));
                let under = view.to_picture((5.0, 6.0));
                let back = view.to_screen(under);
                prop_assert!((back.0 - 5.0).abs() < 1e-6 && (back.1 - 6.0).abs() < 1e-6);
                view.zoom((x, y), factor);
                let (right, bottom) = view.to_screen((f64::from(w), f64::from(h)));
                prop_assert!(view.x <= ww + 1e-6 && view.y <= wh + 1e-6 && right >= -1e-6 && bottom >= -1e-6);
                prop_assert!(view.scale.is_finite() && view.scale > 0.0);
            }
        }
    }
}
