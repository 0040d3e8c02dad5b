"""Sensor settings as data. Imports no simulator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ..common.config import StrictModel
from .profiles import with_profile

Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Coefficient = Annotated[float, Field(ge=-100, le=100)]
NonNegative = Annotated[float, Field(ge=0)]


TOLD_BY_A_FIT = (
    "range_noise_weak",
    "range_at_10_percent",
    "dirty_sectors",
    "range_drift",
    "false_echoes",
    "crosstalk",
)
"""Causes of lidar errors that a fit to field data has measured together with all others: they must not act twice."""

ABSENT_BY_DEFAULT = frozenset(
    {
        "shared_noise",
        "shared_noise_growth",
        "shared_angle",
        "edge_shift",
        "edge_mixed",
        "outlier_short",
        "outlier_long",
        "outlier_angle",
        "outlier_least",
        "outlier_short_size",
        "outlier_short_shape",
        "outlier_long_size",
        "outlier_long_shape",
        "clutter_share",
        "clutter_angle",
    }
)
"""Fields left out of what is written while they have their defaults, so that settings without them keep their hash."""


class LidarConfig(StrictModel):
    """A scanning lidar: ``beams`` azimuths from ``angle_min`` to ``angle_max`` [rad], one row for each elevation.

    Azimuths are spread evenly; a full turn leaves out the last, which would repeat the first. What is measured of the
    true range is told in ``lidar_signal``; every effect is off where its parameter is 0. Profiles of real devices are
    read by ``lidar_profile.load_lidar``.
    """

    profile: str = ""
    """Name or YAML file of the profile (``lidar_profile``) that settings not given here come from."""
    beams: int = Field(default=360, ge=1, le=65536)
    angle_min: float = -math.pi
    angle_max: float = math.pi
    elevations: tuple[float, ...] = (0.0,)
    """Elevation of each ring above the sensor's xy plane [rad]; one zero is a 2D lidar."""
    range_min: NonNegative = 0.05
    range_max: Positive = 25.0
    rate: Positive = 10.0
    """Scans per second [Hz]."""
    sweep_time: NonNegative = 0.0
    """Time from the first to the last beam of a scan [s], at most 1 / rate; 0: all beams are shot at once."""
    clockwise: bool = False
    """Whether the sweep runs from ``angle_max`` to ``angle_min``, clockwise seen from above."""

    range_noise: NonNegative = 0.01
    """Standard deviation of the range [m] at short range and strong signal."""
    range_noise_growth: NonNegative = 0.0
    """Standard deviation added (in squares) per range [m per m]: jitter of clock and pulse form."""
    range_noise_weak: NonNegative = 0.0
    """Standard deviation added (in squares) at a signal on the threshold of detection [m]; it goes with
    1 / sqrt(signal). Needs ``range_at_10_percent``."""
    range_bias: float = 0.0
    """Error of every range [m]."""
    range_drift: NonNegative = 0.0
    """Standard deviation of a bias that all beams share and that wanders from scan to scan [m]: temperature."""
    range_drift_time: Positive = 60.0
    """Time after which the drift is independent of what it was [s]."""
    ring_bias: NonNegative = 0.0
    """Standard deviation of each ring's own constant bias [m]: what calibration has left of the lasers' delays."""
    angle_offset: NonNegative = 0.0
    """Standard deviation of the azimuth by which a unit is turned against its reported angles [rad], constant."""
    range_resolution: NonNegative = 0.0
    """Ranges are reported in whole steps of this [m]."""

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        document: dict[str, Any] = handler(self)
        return {
            key: value
            for key, value in document.items()
            if key not in ABSENT_BY_DEFAULT or value != fields[key].default
        }

    shared_noise: NonNegative = 0.0
    """Standard deviation of an error that neighbouring beams share on one solid [m]: walls that are not where their
    plan has them, or not as flat, a pose that is not quite the one believed. Gaussian and smooth: along a ring its
    correlation falls as (1 + a) exp(-a) with a = angle / shared_angle, and each solid has its own."""
    shared_noise_growth: NonNegative = 0.0
    """Standard deviation of the shared error added (in squares) per range [m per m]: a heading that is not quite right.
    """
    shared_angle: Positive = 0.05
    """Angle between beams over which the correlation of the shared error falls to 2 / e [rad]."""
    edge_shift: Annotated[float, Field(ge=0, le=0.2)] = 0.0
    """Mean angle by which edges, where neighbouring beams meet two solids whose ranges differ by more than
    ``outlier_least``, are seen too far left or right [rad]; Laplace: the beams between report the surface on the other
    side."""
    edge_mixed: Probability = 0.0
    """Share of the edges at which a beam reports a range between both sides (mixed pixels), evenly drawn. For what
    follows from the beam's own width, give ``divergence_horizontal`` instead."""
    outlier_short: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Things that no plan shows, met per metre of a beam's way [1/m]: a surface at range r is hidden by one with
    probability 1 - exp(-outlier_short * r). Neighbouring beams meet the same thing."""
    outlier_long: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of the echoes that come from beyond the surface that should be there: open doors, glass, goods that are
    gone. Neighbouring beams pass the same opening."""
    outlier_angle: Positive = 0.05
    """Mean width of a run of outliers [rad]; the number of its beams is geometric, at least one."""
    outlier_least: NonNegative = 0.1
    """Least size of an outlier [m]."""
    outlier_short_size: NonNegative = 0.3
    """Scale of short outliers, over the range. With W of the Weibull distribution of scale 1 and shape
    ``outlier_short_shape``, one run reports range * exp(-(outlier_least / range + outlier_short_size * W)): never from
    behind the sensor."""
    outlier_short_shape: Annotated[float, Field(ge=0.2, le=5)] = 1.0
    """Shape of the Weibull distribution of short outliers: 1 exponential, below 1 with heavier tails."""
    outlier_long_size: NonNegative = 0.3
    """Scale of long outliers [m]: one run reports range + outlier_least + outlier_long_size * W."""
    outlier_long_shape: Annotated[float, Field(ge=0.2, le=5)] = 1.0
    """Shape of the Weibull distribution of long outliers."""
    clutter_share: Annotated[float, Field(ge=0, le=0.95)] = 0.0
    """Share of the view that is cluttered: shelves, plants, chairs where the plan has a flat wall. Above 0, runs of
    outliers begin in cluttered sectors only (as many in all as without). 0: they are spread evenly."""
    clutter_angle: Positive = 0.2
    """Mean width of a cluttered sector [rad]."""

    dropout: Probability = 0.002
    """Chance that a beam at normal incidence comes back empty, however strong its signal."""
    grazing_dropout: Probability = 0.3
    """Chance of dropout added as the incidence angle goes to 90 degrees."""
    range_at_10_percent: NonNegative = 0.0
    """Range at which half of the pulses are detected on a matt target of 10 % reflectivity met head on [m]. It sets
    the received signal, reflectivity / 0.1 * cos(incidence) * (range_at_10_percent / range)^2, which is 1 at the
    threshold of detection. 0: every signal is strong enough."""
    detection_noise: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Standard deviation of the receiver's noise over its threshold: how gradually detection is lost. 0.2 is a
    threshold five deviations above the noise."""
    dirty_sectors: Probability = 0.0
    """Share of the window's 36 sectors of 10 degrees that are dirty. Needs ``range_at_10_percent``."""
    dirt_loss: Probability = 0.5
    """Share of the light that a dirty sector takes, out and back again."""

    divergence_horizontal: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    """Full angle of the beam across azimuth [rad]. With it, beams whose footprint straddles an edge see both sides."""
    divergence_vertical: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    """Full angle of the beam across elevation [rad]; used by lidars of several rings, whose neighbours show edges."""
    aperture: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    """Width of the beam as it leaves the sensor [m]; only with divergence."""
    echo_separation: NonNegative = 0.5
    """Least distance of two surfaces at which their echoes are told apart [m]; nearer ones melt into one echo at their
    mean range, weighted by signal (mixed pixels). About pulse length times the speed of light over 2, or more."""
    returns: Literal[1, 2] = 1
    """Echoes reported of each pulse."""
    return_mode: Literal["strongest", "first", "last"] = "strongest"
    """Which echo comes first (with one return: alone)."""

    intensity_noise: NonNegative = 0.0
    """Standard deviation of the intensity over the intensity."""
    intensity_resolution: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Intensities are reported in whole steps of this (full scale 1)."""

    false_echoes: Probability = 0.0
    """Chance that a pulse meets dust (or the like) first and reports that."""
    false_echo_length: Positive = 1.0
    """Mean distance of the dust from ``range_min`` on [m]; exponential."""
    crosstalk: Probability = 0.0
    """Chance that a pulse of another lidar is taken for the echo: a range anywhere in [range_min, range_max]."""

    film_share: Probability = 0.0
    """Share of the cartons and stillages that are wrapped in stretch film, each by chance but the same in every scan.
    """
    film_gap: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    """Distance of the film in front of the goods [m]."""
    film_haze: Probability = 0.05
    """Share of the light that the film scatters back (diffuse)."""
    gloss: Probability = 0.0
    """How much of Fresnel's reflection glossy solids (sealed floors, painted and galvanised steel; see
    ``lidar_signal.lidar_surface``) return as a mirror: 1 like water, 0 matt. A mirror at grazing incidence loses the
    beam, or reports what stands behind the reflection."""

    def calibrated(self, values: Mapping[str, float]) -> LidarConfig:
        """Return these settings with the noise that was fitted to field data, in place of all that acted before.

        Args:
            values: by field. Effects that the fit has measured as a whole (``TOLD_BY_A_FIT``) are off unless named.

        Raises:
            ValidationError: an unknown field, or values that do not fit.
        """
        off = dict.fromkeys(TOLD_BY_A_FIT, 0.0)
        return LidarConfig.model_validate({**self.model_dump(), **off, **values})

    @model_validator(mode="before")
    @classmethod
    def _from_profile(cls, data: Any) -> Any:
        return with_profile("lidar", data, len(cls.model_fields))

    @model_validator(mode="after")
    def _ranges(self) -> LidarConfig:
        if self.angle_max <= self.angle_min:
            raise ValueError(f"angle_max {self.angle_max} must be above angle_min {self.angle_min}")
        if self.angle_max - self.angle_min > 2 * math.pi + 1e-9:
            raise ValueError("angle_max - angle_min is over a full turn")
        if self.range_max <= self.range_min:
            raise ValueError(f"range_max {self.range_max} must be above range_min {self.range_min}")
        if not self.elevations:
            raise ValueError("elevations must name at least one ring")
        if any(abs(e) >= math.pi / 2 for e in self.elevations):
            raise ValueError("elevations must lie between -pi/2 and pi/2")
        return self

    @model_validator(mode="after")
    def _signal(self) -> LidarConfig:
        if self.sweep_time * self.rate > 1 + 1e-9:
            raise ValueError(f"sweep_time {self.sweep_time} s is longer than a scan (rate {self.rate} Hz)")
        for name in ("range_noise_weak", "dirty_sectors"):
            if getattr(self, name) > 0 and self.range_at_10_percent == 0:
                raise ValueError(f"{name} acts through the received signal: give range_at_10_percent")
        for name in ("range_noise", "range_noise_weak", "range_drift", "ring_bias", "range_resolution", "shared_noise"):
            if getattr(self, name) > self.range_max:
                raise ValueError(f"{name} {getattr(self, name)} m is over range_max {self.range_max} m")
        if abs(self.range_bias) > self.range_max:
            raise ValueError(f"range_bias {self.range_bias} m is over range_max {self.range_max} m")
        if self.dropout + self.false_echoes + self.crosstalk > 1 + 1e-9:
            raise ValueError("dropout, false_echoes and crosstalk are chances of one pulse: their sum is over 1")
        return self


class CameraConfig(StrictModel):
    """A camera: lens, sensor and electronics. The defaults are a plain pinhole with simple noise.

    Pixel centres are whole numbers; the optical axis meets the picture at ``center``; pixels are square. Light is
    linear, 1 being diffuse white in full light; what follows the lens is told in ``imaging``.
    """

    width: int = Field(default=640, ge=2, le=8192)
    height: int = Field(default=480, ge=2, le=8192)
    horizontal_fov: Annotated[float, Field(gt=0.02, le=3.6)] = 1.39
    """Angle that a picture row through its middle sees [rad], without distortion if the lens is perspective; below 3
    for those."""
    near: Positive = 0.05
    """Nothing nearer is seen [m]; along the optical axis, for a fisheye along the ray."""
    far: Positive = 60.0
    """Nothing farther is seen [m]; along the optical axis, for a fisheye along the ray."""
    rate: Positive = 5.0
    """Pictures per second [Hz]."""
    supersampling: int = Field(default=1, ge=1, le=4)
    """Samples of light along each side of a pixel, averaged in linear light. Depth and ids stay those of the pixel's
    centre."""

    lens: Literal["perspective", "fisheye"] = "perspective"
    """Perspective with Brown-Conrady distortion k1, k2, p1, p2, k3, or fisheye (Kannala and Brandt) with k1 to k4; both
    as OpenCV has them, see ``optics``. A fisheye's depth is the distance from the optical centre."""
    k1: Coefficient = 0.0
    k2: Coefficient = 0.0
    k3: Coefficient = 0.0
    k4: Coefficient = 0.0
    p1: Coefficient = 0.0
    p2: Coefficient = 0.0
    center_offset: tuple[float, float] = (0.0, 0.0)
    """Where the optical axis meets the picture, right of and below its middle [pixels]."""
    vignetting: Probability = 0.0
    """Strength of the fall of light towards the edges, from none (0) to the natural cos^4 of the angle off the axis (1;
    Ray, *Applied Photographic Optics*, 2002, 7.4)."""
    softness: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Standard deviation of the blur by defocus and lens errors [pixels]."""
    dirt: Probability = 0.0
    """How dirty the front lens is: share of the light that its blurred specks take where they are densest. The specks
    belong to the camera, and stay."""

    exposure: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Light that a pixel gathers, as a factor on the picture's; 1: diffuse white in full light is white."""
    gain: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Electronic amplification of what was gathered: brightens picture and noise."""
    auto_exposure: bool = False
    """Multiply ``exposure`` so that the picture meets ``exposure_target``; metered from the same picture."""
    exposure_target: Annotated[float, Field(gt=0, le=1)] = 0.18
    """Linear luminance that the metered percentile is brought to; 0.18 is middle grey."""
    exposure_percentile: Annotated[float, Field(ge=0, le=100)] = 50.0
    """Percentile of the luminance that is metered [%]."""
    exposure_limits: tuple[float, float] = (0.125, 8.0)
    """Least and greatest factor of the auto exposure."""
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gains of red, green and blue."""
    auto_white_balance: bool = False
    """Multiply the gains of red and blue so that the mean of the picture is grey (grey world; Buchsbaum, 1980)."""
    white_balance_limits: tuple[float, float] = (0.5, 2.0)
    """Least and greatest factor of the auto white balance."""
    monochrome: bool = False
    """The picture's three channels are one: luminance (ITU-R BT.709)."""

    noise: Annotated[float, Field(ge=0, le=64)] = 2.0
    """Standard deviation of the read noise [8-bit grey levels], in a sensor given without ``full_well``."""
    shot_noise: Annotated[float, Field(ge=0, le=64)] = 1.0
    """Standard deviation of the photon noise at full white [8-bit grey levels], in a sensor given without
    ``full_well``; goes with the root of the grey level."""
    full_well: Annotated[float, Field(ge=0, le=1e7)] = 0.0
    """Electrons that a pixel has gathered at light 1 and exposure 1, and that saturate it. Above 0 the sensor is the
    linear one of EMVA standard 1288: photon noise of variance N for N electrons, ``read_noise``, then the gain and sRGB
    encoding; ``noise`` and ``shot_noise`` are not used."""
    read_noise: Annotated[float, Field(ge=0, le=1e5)] = 0.0
    """Standard deviation of the dark noise [electrons]; needs ``full_well``."""
    dark_nonuniformity: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Standard deviation of the pixels' own offsets (EMVA 1288: DSNU), over full scale. Belongs to the camera."""
    gain_nonuniformity: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Standard deviation of the pixels' own gains (EMVA 1288: PRNU). Belongs to the camera."""
    row_nonuniformity: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Standard deviation of the rows' own offsets, over full scale. Belongs to the camera."""
    column_nonuniformity: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Standard deviation of the columns' own offsets, over full scale. Belongs to the camera."""
    hot_pixels: Probability = 0.0
    """Share of pixels that shine on their own, by 0.2 to 1 of full scale. They belong to the camera."""

    exposure_time: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Time that each row gathers light [s]: what moves is blurred. Does not change the brightness. 0: none."""
    blur_samples: int = Field(default=8, ge=1, le=64)
    """Moments that a blurred picture is the mean of."""
    readout_time: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Time from the first to the last row's exposure [s]: a rolling shutter. 0: a global one."""
    jpeg_quality: int = Field(default=0, ge=0, le=100)
    """Quality 1 to 100 at which the picture is compressed as JPEG and decoded again; 0: it is not."""

    @property
    def focal(self) -> float:
        """Focal length [pixels]: fx = fy."""
        half = 0.5 * self.horizontal_fov
        if self.lens == "perspective":
            return 0.5 * self.width / math.tan(half)
        s = half * half
        return 0.5 * self.width / (half * (1.0 + s * (self.k1 + s * (self.k2 + s * (self.k3 + s * self.k4)))))

    @property
    def center(self) -> tuple[float, float]:
        """Where the optical axis meets the picture, u and v [pixels]."""
        return 0.5 * (self.width - 1) + self.center_offset[0], 0.5 * (self.height - 1) + self.center_offset[1]

    @model_validator(mode="after")
    def _near_far(self) -> CameraConfig:
        if self.far <= self.near:
            raise ValueError(f"far {self.far} must be above near {self.near}")
        for name in ("exposure_limits", "white_balance_limits"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= 1e6:
                raise ValueError(f"{name} {low}, {high} must be positive and ascending")
        if not all(0 < factor <= 1000 for factor in self.white_balance):
            raise ValueError(f"white_balance {self.white_balance} must be three factors above 0")
        if self.read_noise > 0 and self.full_well == 0:
            raise ValueError("read_noise is in electrons: give full_well")
        return self

    @model_validator(mode="after")
    def _lens(self) -> CameraConfig:
        reach = (self.width, self.height)
        if not all(abs(offset) <= size for offset, size in zip(self.center_offset, reach, strict=True)):
            raise ValueError(f"center_offset {self.center_offset} is over the picture's size {reach}")
        if self.lens == "perspective" and self.horizontal_fov >= 3.0:
            raise ValueError(f"horizontal_fov {self.horizontal_fov} is over 3 rad: use lens: fisheye")
        if self.lens == "perspective" and self.k4:
            raise ValueError("k4 belongs to lens: fisheye")
        if self.lens == "fisheye" and (self.p1 or self.p2):
            raise ValueError("p1 and p2 belong to lens: perspective")
        if self.lens == "fisheye" or any((self.k1, self.k2, self.k3, self.p1, self.p2)):
            # Loads the compiler, which settings alone do not need.
            from .optics import check_lens

            check_lens(self)
        return self


class Lighting(StrictModel):
    """The light of the hall: one directional key light that casts shadows, ambient light from everywhere, and the
    lamps of the scene, where it has some."""

    direction: tuple[float, float, float] = (0.35, 0.2, -1.0)
    """Where the light travels to, in ``map``; need not be normalised; z < 0."""
    key: Annotated[float, Field(ge=0, le=4)] = 0.65
    ambient: Annotated[float, Field(ge=0, le=4)] = 0.35
    temperature: Annotated[float, Field(ge=2000, le=12000)] = 5000.0
    """Colour temperature of the key light [K]; 5000 K is rendered neutral."""
    lamps: Annotated[float, Field(ge=0, le=16)] = 1.0
    """Factor of the light of the scene's lamps."""
    lamp_temperature: Annotated[float, Field(ge=2000, le=12000)] | None = None
    """Colour temperature of all lamps [K] in place of their own."""
    lamp_failing: Probability = 0.0
    """Share of the lamps that are dark; which ones depends on ``lamp_seed``."""
    lamp_seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _downwards(self) -> Lighting:
        if self.direction[2] >= 0:
            raise ValueError("direction must point down (z < 0)")
        return self


class InertialErrors(StrictModel):
    """Errors of the three axes of a gyroscope (u = rad/s) or an accelerometer (u = m/s^2), after IEEE Std 952."""

    noise_density: NonNegative = 0.0
    """White noise [u / sqrt(Hz)]: angle or velocity random walk N. Deviation of a sample = N * sqrt(rate)."""
    bias_instability: NonNegative = 0.0
    """Lowest Allan deviation that the wandering bias reaches [u], as data sheets print it ("in-run bias stability").
    The bias is a first-order Gauss-Markov process of deviation bias_instability / 0.618."""
    bias_time: Positive = 100.0
    """Correlation time of that process [s]; its Allan deviation peaks at 1.89 times this."""
    random_walk: NonNegative = 0.0
    """Rate or acceleration random walk K [u / s / sqrt(Hz)]: the bias walks away by K * sqrt(time)."""
    turn_on_bias: NonNegative = 0.0
    """Standard deviation of the constant bias of a unit [u]."""
    scale_error: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Standard deviation of a unit's scale factor error."""
    misalignment: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Standard deviation of how far a unit's axis leans to each of the other two [rad]."""
    resolution: NonNegative = 0.0
    """Least step of the output [u]."""
    limit: NonNegative = 0.0
    """Largest magnitude of the output [u]; 0: none."""

    @model_validator(mode="after")
    def _resolution_fits(self) -> InertialErrors:
        if self.limit > 0 and self.resolution > self.limit:
            raise ValueError(f"resolution {self.resolution} is over the limit {self.limit} of the output")
        return self


class ImuConfig(StrictModel):
    """An inertial measurement unit: gyroscope [rad/s] and accelerometer [m/s^2] of three axes each. Default: exact."""

    profile: str = ""
    """Name or YAML file of the profile (``assets/sensors/imu``) that settings not given here come from."""
    rate: Annotated[float, Field(gt=0, le=10_000)] = 100.0
    """Samples per second [Hz]."""
    gyroscope: InertialErrors = InertialErrors()
    accelerometer: InertialErrors = InertialErrors()

    @model_validator(mode="before")
    @classmethod
    def _from_profile(cls, data: Any) -> Any:
        return with_profile("imu", data, len(cls.model_fields))


class WheelOdometryConfig(StrictModel):
    """Random error of dead reckoning on wheels, over what encoders, wheel radii and slip make already. Default: none.

    The alpha model of Thrun, Burgard and Fox, *Probabilistic Robotics*, 2005, table 5.6, with variances in proportion
    to the way instead of its square, so that they do not depend on how often the pose is read: for 1 m or 1 rad of way
    the alphas are the book's.
    """

    profile: str = ""
    """Name or YAML file of the profile (``assets/sensors/wheels``) that settings not given here come from."""
    rotation_per_rotation: NonNegative = 0.0
    """alpha 1: variance of heading for turning [rad^2 / rad]."""
    rotation_per_metre: NonNegative = 0.0
    """alpha 2: variance of heading for driving [rad^2 / m]."""
    translation_per_metre: NonNegative = 0.0
    """alpha 3: variance of distance for driving [m^2 / m]."""
    translation_per_rotation: NonNegative = 0.0
    """alpha 4: variance of distance for turning [m^2 / rad]."""

    @model_validator(mode="before")
    @classmethod
    def _from_profile(cls, data: Any) -> Any:
        return with_profile("wheels", data, len(cls.model_fields))
