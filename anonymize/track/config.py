"""Every threshold of the tracker, and the layout of the arrays that its parts share."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from anonymize.core.errors import OptionError

GRID_HW = (28, 14)
"""Points along a box at which masks are compared and colours are read."""
BODY_PART_GROUPS = (-1, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7)
"""Group of each body part after BodyPix (index; 0 is no part): head, upper arms, lower arms, hands, torso, thighs,
calves, feet. Left and right, front and back are one group, so that a person who turns round looks the same."""
GROUPS = max(BODY_PART_GROUPS) + 1
MASK_CELLS = 3
"""Cells along each side of a mask that stand in for the body parts where there is no surface prediction."""
SLOTS = GROUPS + MASK_CELLS**2
FEATURES = 5
"""Three of colour and two of texture, in each slot."""


@dataclass(frozen=True, kw_only=True)
class TrackerConfig:
    """Thresholds of the tracker.

    "Heights" are heights of the person's box, so that near and far people are treated alike; times are seconds, so that
    films of any frame rate are. "Share" is a part of a whole in [0, 1]; "overlap" is the mean of box and mask IoU.
    "Distance" is that of two appearances, see `Appearance.distance`.

    Raises:
        OptionError: The look-ahead or the memory is negative.
    """

    # Detections and time
    min_sure_score: float = 0.6
    """Detections from this score on are people, and stay covered whatever is decided. A score half-way from here to 1
    is certain."""
    min_score: float = 0.25
    """Detections of a lower score continue too many tracks by chance; they are left out, unless they are sure."""
    lookahead_seconds: float = 1.0
    """How long frames wait. Gaps are filled where the person was found at most so long before and after."""
    memory_seconds: float = 20.0
    """A person who was out of sight for longer gets a new ID."""
    max_waiting_frames: int = 64
    """Frames that wait, and that are remembered after, at most, whatever their time stamps say."""
    established_hits: int = 4
    """Sure detections, or one certain one, from which on detections of a low score continue a track."""
    recent_seconds: float = 1.0
    """A track found within this time is looked for at its predicted box."""
    max_dip_seconds: float = 0.35
    """A track missed for no longer was probably overlooked by the detector for some frames."""

    # Thumbnails and the motion of the camera
    max_thumbnail_px: int = 640
    """Longer side of the small picture that is kept of each frame."""
    mask_error_share: float = 0.02
    """Error of the outline of a mask, of its longer side."""
    mask_rim_px: int = 2
    """Pixels of a thumbnail around a mask, beside that error, that may still show the person."""
    flow_width_px: int = 320
    """Width of the picture in which the motion of the camera is measured."""
    max_flow_features: int = 80
    """Corners that are followed."""
    min_flow_features: int = 12
    """With fewer the camera is taken to rest."""
    flow_refill_share: float = 0.9
    """Share of the corners below which new ones are looked for."""
    min_flow_inlier_share: float = 0.5
    """Share of the corners that must agree on a motion."""
    min_flow_shift_px: float = 0.08
    """Smaller shifts are noise: the camera rests."""

    # Kalman filter
    measurement_deviation_heights: float = 0.05
    """Of a sure detection's centre and size."""
    start_speed_deviation: tuple[float, float, float, float] = (0.8, 0.3, 0.25, 0.25)
    """Of the velocity of a new track, in heights a second: centre x, centre y, width, height."""
    acceleration_deviation: tuple[float, float, float, float] = (1.2, 0.6, 0.6, 0.6)
    """Of the change of velocity after a second, in heights a second."""
    coast_seconds: float = 2.0
    """Time in which the horizontal speed of a track that is not found falls to 1/e."""
    size_coast_seconds: float = 0.15
    """The same of its vertical speed and its growth: half a person behind a wall is no sign of shrinking."""
    unsure_noise_factor: float = 2.0
    """Deviation of a detection of a low score, against a sure one."""
    template_noise_factor: float = 3.0
    """Deviation of a box found by template matching, against a sure detection."""

    # Appearance
    part_landmarks: int = 128
    """Landmarks of the body surface among which the nearest tells the body part; they are spread evenly."""
    min_body_probability: float = 0.5
    """Of the surface segmentation, from which on a pixel belongs to a body part."""
    min_shared_share: float = 0.2
    """Share of their points that two people must show of the same parts to be compared."""
    feature_scale: tuple[float, float, float, float, float] = (0.35, 0.7, 0.7, 0.25, 0.25)
    """Weights of lightness, red-green, yellow-blue, deviation and roughness: light and shade change the lightness of a
    person, hardly the tint."""
    tint_offset: float = 0.4
    """Added to the lightness that tints are divided by: dark colours have little tint."""
    appearance_interval_seconds: float = 0.09
    """Time between two looks at the appearance."""
    ema_weight: float = 0.1
    """Weight of a new view in the appearance of a well-known track, at least."""
    crowded_view_weight: float = 0.3
    """Of a view in a crowd, or of one that looks like another person, against a clear one."""
    well_known_views: int = 3
    """Clear views from which on an appearance is believed."""
    max_gallery: int = 6
    """Former appearances of a track that are kept."""
    confirmed_distance: float = 0.045
    """A nearer appearance confirms an identity."""
    distinct_distance: float = 0.03
    """An appearance that is so much nearer to another track is not this track's."""
    same_distance: float = 0.06
    """Distance at which two views are as likely of one person as of two."""
    changed_distance: float = 0.1
    """A track does not change so much from frame to frame."""
    different_distance: float = 0.25
    """Another person, wherever they are."""

    # Association
    min_overlap: float = 0.15
    """Of a predicted track and a sure detection."""
    min_unsure_overlap: float = 0.35
    """Of a predicted track and a detection of a low score."""
    changed_overlap: float = 0.6
    """A detection that overlaps so much continues a track although its appearance has changed."""
    sudden_overlap: float = 0.3
    """A detection that overlaps less with the prediction may be another person."""
    steady_overlap: float = 0.5
    """A detection that overlaps more with the prediction is the track."""
    max_return_heights: float = 0.5
    """How far from its prediction a track may return after a dip."""
    max_height_ratio: float = 1.6
    """Of two boxes of about the same size."""
    entering_share: float = 0.8
    """Share of the first box of a person at the border that lies in a later, larger one."""
    crowded_share: float = 0.4
    """Two boxes of which one covers so much of the other may be taken for each other."""
    clear_share: float = 0.2
    """A box that is covered less than this shows the person alone."""
    border_share: float = 0.02
    """A box so near to the left or right border, of the frame's width, may be leaving or entering."""

    # Detections that show no person of their own
    part_share: float = 0.6
    """Share of a detection inside surer ones, from which on it may be a part of them."""
    head_share: float = 0.2
    """Share of its height above the surer one, from which on it has a head of its own."""
    member_share: float = 0.8
    """Share of a surer detection inside one that shows several people."""
    duplicate_iou: float = 0.5
    """Of a detection and the surer one that it repeats."""
    occluded_share: float = 0.5
    """Share of a missing track inside such a detection, from which on the track is in it as well."""
    max_divide_cells: int = 256
    """Along the longer side of the grid on which the pixels of a mask are divided among tracks."""

    # Template matching and backtracking
    template_height_px: int = 40
    """Of the template."""
    template_inset_shares: tuple[float, float] = (0.2, 0.1)
    """Left out on each side, of width and height, since it shows background."""
    template_search_heights: float = 0.12
    """Search range around the expected place."""
    min_template_size_px: tuple[int, int] = (24, 12)
    """Height and width of a box; fewer pixels look like everything."""
    min_template_aspect: float = 0.2
    """Width by height; a sliver beside a wall is mostly wall."""
    min_template_inside_shares: tuple[float, float] = (0.7, 0.5)
    """Of the width and the height of a template that must lie inside the frame."""
    min_template_contrast: float = 6.0
    """Deviation of its grey values, of 255."""
    min_template_correlation: float = 0.8
    """Normalised cross-correlation."""
    max_template_difference: float = 14.0
    """Mean absolute difference of the colours, of 255."""
    template_seconds: float = 0.5
    """A track is followed by its template alone for so long."""
    backtrack_overlap: float = 0.3
    """Of a track and the unsure detection in the frame before that continues it backwards."""

    # Re-identification; log-likelihood ratios of "one person" against "two"
    reid_distance_step: float = 0.01
    """An appearance nearer by this makes one person e times likelier."""
    max_reid_appearance: float = 5.0
    """Evidence of the appearance at most."""
    max_reid_motion: float = 3.5
    """Evidence of the motion at most."""
    max_reid_leaving: float = -0.5
    """Evidence of the motion at most where people leave and others enter."""
    reid_area_heights2: float = 15.0
    """Area of a picture in squared heights, in which new people appear."""
    reid_drift_heights: float = 0.15
    """Deviation of a returning track from its prediction, beside that of the filter."""
    reid_size_penalty: float = 1.5
    """Against boxes of different size."""
    reid_penalty: float = 0.5
    """Against the return of a track that was missing for long."""
    reid_forgotten_seconds: float = 3.0
    """After this time a missing track can be anywhere within its reach."""
    reid_reach_heights: float = 1.5
    """How far a missing track gets at once."""
    reid_speed_heights: float = 3.0
    """How much farther it gets in a second, in heights."""
    reid_emerging_share: float = 0.6
    """Share of a new box inside the predicted extent of a missing track, from which on the track may come out from
    behind something."""
    reid_emerging_heights: float = 0.35
    """Distance that counts for such a track at most."""
    extent_seconds: float = 0.5
    """The extent of a track is that of its boxes in this time before it was lost."""
    extent_margin_share: float = 0.03
    """Of the height of that extent."""

    # Splits and duplicates
    split_share: float = 0.5
    """A track that looks like another person in more of its views since a newcomer appeared is another person; so is
    one that was found together with the newcomer in fewer of its frames."""
    split_gap_steps: float = 1.5
    """Frames between the two sides of a split at most: a longer gap would not be filled."""

    # ID swaps
    link_reach_heights: float = 0.3
    """How far a person moves at once between two observations."""
    link_speed_heights: float = 0.8
    """How much farther in a second, in heights."""
    max_swap_seconds: float = 0.4
    """A longer swap of two IDs cannot be told from none."""
    swap_iou_seconds: float = 0.2
    """Up to about this time the IoU of two boxes tells more than the distance of their centres."""
    swap_size_cost: float = 0.3
    """Cost of a link between boxes of different size."""
    max_link_cost: float = 0.95
    """Of two observations of one track."""
    min_swap_gain: float = 0.1
    """Of cost, that a swap must bring."""
    min_swap_likeness: float = 0.05
    """Of a track and an observation that it is given."""
    max_swap_gap_seconds: float = 0.6
    """Gap that an ID swap may have left in another track."""

    # Fragments
    fragment_share: float = 0.7
    """Share of a newcomer's pixels in another track, in a frame, to be a part of it."""
    unseen_fragment_share: float = 0.5
    """The same of a newcomer that was never seen clearly."""
    whole_share: float = 0.9
    """Share of the other track's pixels in the newcomer: only a part of the track was found."""
    fragment_frames_share: float = 0.8
    """Share of its frames in which a newcomer is a part of one and the same track."""
    fragment_min_together: int = 3
    """Frames in which both are found, from which on the frames in which the track is missed do not count."""

    # Filled gaps
    fill_growth_share: float = 0.03
    """Growth of a guessed mask beside a found one, of its height."""
    min_fill_growth_px: int = 2
    """The same in pixels at least."""
    max_reach_factor: float = 1.3
    """A guess that makes the rectangle of a track larger than this is covered apart from it."""
    person_aspect: float = 1.8
    """Height by width of the rectangle in which a person is generated."""
    explained_share: float = 0.7
    """Share of a gap after an ID swap that is covered anyway: no person was lost there."""
    max_named_gap_seconds: float = 0.45
    """A person missed for longer is likelier hidden than overlooked: the place is covered without an ID."""
    linger_seconds: float = 0.3
    """A missed person may still be, or already be, as they were so long before or after."""

    # Frames that the detector does not look at
    max_unseen_seconds: float = 0.25
    """Frames farther apart are looked at whatever is asked for: people may come and go, or take a step."""
    carry_flow_px: int = 640
    """Longer side of the pictures in which dense flow is computed."""
    carry_reach_share: float = 0.25
    """How far a person may move from frame to frame, of the longer side of their mask."""
    carry_speed_heights: float = 6.0
    """Where one track ends and another begins they may be one person, no faster than this, in heights a second."""
    carry_growth_share: float = 0.01
    """Growth of a carried mask by each frame up to the nearest look, of its longer side."""
    min_carried_share: float = 0.5
    """If less of a mask carried forward lies in the one carried backward, one is lost, and a hull is covered."""

    # Background check
    background_frames: int = 6
    """Frames before, and after, with which a place is compared."""
    background_noise: int = 12
    """Difference of one pixel from frame to frame, of 255."""
    background_offset: float = 2.0
    """Difference of the mean of a place, of 255."""
    max_background_pattern: int = 100
    """Difference of neighbouring pixels, of 255, from which on a place tells nothing."""
    max_foreground_share: float = 0.006
    """Share of a place that differs from the background, up to which it is empty."""
    plain_foreground_share: float = 0.3
    """Share that differs in one frame, from which on the place is not empty without further frames."""
    min_background_share: float = 0.2
    """Share of a place that another frame must show without people."""
    background_drift_px: int = 3
    """Error of the camera's motion, in pixels of thumbnails."""

    # Smoothing
    box_deviation_seconds: float = 0.12
    """Of the weights of neighbouring boxes."""
    box_reach_frames: int = 3
    """Frames to each side that a box is smoothed with."""
    max_box_shift_share: float = 0.05
    """Of the size of a box; more is no noise."""
    mask_reach_seconds: float = 0.2
    """Masks nearer in time are smoothed together."""
    noise_mask_iou: float = 0.85
    """Masks that are more alike than this differ by noise."""
    still_iou: float = 0.9
    """Boxes that are more alike than this frame the same picture: the person has not moved."""

    # Surface predictions
    max_surface_cells: int = 56
    """Along a box; no network predicts finer ones."""
    surface_seconds: float = 0.15
    """A prediction of another frame fits for so long: people take a step."""
    surface_ema_weight: float = 0.25
    """Weight of a new prediction of a person who stands still."""

    def __post_init__(self) -> None:
        if not (0 <= self.lookahead_seconds < inf and self.memory_seconds >= 0):
            raise OptionError("look-ahead and memory must be numbers that are not negative")

    @property
    def certain_score(self) -> float:
        """The score half-way from sure to 1."""
        return (1 + self.min_sure_score) / 2


@dataclass(frozen=True, kw_only=True)
class PlateTrackerConfig:
    """Thresholds of the tracker of number plates. Lengths are in longer sides of the plate."""

    max_distance: float = 1.0
    """Between where a plate is expected and where it is found, for a plate at rest."""
    max_speed: float = 8.0
    """A second, that the motion of a plate may differ from what it was."""
    max_reach: float = 3.0
    """That a plate may be found from where it is expected, whatever its speed."""
    max_scale: float = 1.6
    """A plate of another size by more than this factor is another plate."""
    velocity_weight: float = 0.5
    """Weight of the newest displacement in a plate's velocity."""
    overhang_seconds: float = 0.2
    """So long before it is first found, and after it is last found, a plate is covered too: it is small, turned or half
    hidden then, and may be read all the same."""
