//! A gain that changes without a click.

/// How a gain moves to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// In a straight line.
    Line,
    /// As a quarter of a sine, from or to 0: two of them crossfade at equal power.
    Power,
}

/// A gain for each sample.
#[derive(Debug, Clone, Copy)]
pub struct Ramp {
    from: f32,
    to: f32,
    at: u32,
    length: u32,
    shape: Shape,
}

impl Ramp {
    /// A gain that stays as it is.
    pub fn still(gain: f32) -> Self {
        Self {
            from: gain,
            to: gain,
            at: 0,
            length: 0,
            shape: Shape::Line,
        }
    }

    /// Moves to another gain in a straight line, within that many samples.
    pub fn go(&mut self, to: f32, samples: u32) {
        self.begin(to, samples, Shape::Line);
    }

    /// The same with a quarter of a sine.
    pub fn go_with_power(&mut self, to: f32, samples: u32) {
        self.begin(to, samples, Shape::Power);
    }

    fn begin(&mut self, to: f32, samples: u32, shape: Shape) {
        *self = Self {
            from: self.now(),
            to,
            at: 0,
            length: samples,
            shape,
        };
    }

    /// The gain now.
    pub fn now(&self) -> f32 {
        if self.at >= self.length {
            return self.to;
        }
        let x = self.at as f32 / self.length as f32;
        let x = match self.shape {
            Shape::Line => x,
            Shape::Power if self.to > self.from => (x * std::f32::consts::FRAC_PI_2).sin(),
            Shape::Power => 1.0 - (x * std::f32::consts::FRAC_PI_2).cos(),
        };
        self.from + (self.to - self.from) * x
    }

    /// Samples until it is where it goes.
    pub fn left(&self) -> u32 {
        self.length - self.at
    }

    /// Where it goes.
    pub fn target(&self) -> f32 {
        self.to
    }

    /// Whether it is where it goes.
    pub fn is_still(&self) -> bool {
        self.at >= self.length
    }

    /// The gain for the next sample.
    pub fn step(&mut self) -> f32 {
        let gain = self.now();
        self.at = self.at.saturating_add(1).min(self.length);
        gain
    }

    /// Whether it is at 1 and stays there.
    pub fn is_one(&self) -> bool {
        self.is_still() && self.to == 1.0
    }

    /// Multiplies interleaved samples.
    pub fn apply(&mut self, samples: &mut [f32], channels: usize) {
        if self.is_one() {
            return;
        }
        for frame in samples.chunks_exact_mut(channels) {
            let gain = self.step();
            for sample in frame {
                *sample *= gain;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ramp;

    #[test]
    fn a_ramp_arrives_after_its_length_and_stays() {
        let mut ramp = Ramp::still(1.0);
        ramp.go(0.0, 4);
        let gains: Vec<f32> = (0..6).map(|_| ramp.step()).collect();
        assert_eq!(gains, [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]);
        ramp.go(1.0, 0);
        assert!(ramp.is_one());
    }

    #[test]
    fn a_ramp_that_is_changed_in_the_middle_goes_on_from_there() {
        let mut ramp = Ramp::still(0.0);
        ramp.go(1.0, 10);
        for _ in 0..5 {
            ramp.step();
        }
        ramp.go(0.0, 5);
        assert_eq!(ramp.step(), 0.5);
    }

    #[test]
    fn two_power_ramps_keep_the_power() {
        let (mut up, mut down) = (Ramp::still(0.0), Ramp::still(1.0));
        up.go_with_power(1.0, 100);
        down.go_with_power(0.0, 100);
        for _ in 0..100 {
            let (a, b) = (up.step(), down.step());
            assert!((a * a + b * b - 1.0).abs() < 1e-5, "{a} {b}");
        }
    }
}
