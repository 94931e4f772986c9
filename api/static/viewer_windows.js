// Windows of images: the file's own, one that leaves nothing out, and the usual ones of the modality.

const [MODALITY, CENTER, WIDTH, VOI_LUT] = ["00080060", "00281050", "00281051", "00283010"];
const [BITS, IS_SIGNED, SLOPE, INTERCEPT, SMALLEST, LARGEST] = ["00280101", "00280103", "00281053", "00281052", "00280106", "00280107"];
const [SHARED, PER_FRAME, VOI, TRANSFORMATION] = ["52009229", "52009230", "00289132", "00289145"]; // PS3.3, C.7.6.16

export const value = (one, tag) => one[tag]?.Value?.[0];
const finite = (given) => (given !== undefined && given !== null && Number.isFinite(Number(given)) ? Number(given) : null);
export const number = (one, tag) => finite(value(one, tag));

/** Of one frame, as the server reads it: from the image itself, else from the frame's functional group, else the shared one. */
function numberOf(one, frame, group, tag) {
  const groups = [one[PER_FRAME]?.Value?.[frame - 1], one[SHARED]?.Value?.[0]].map((found) => found && value(found, group));
  const place = [one, ...groups].find((found) => found && tag in found);
  return place ? number(place, tag) : null;
}

/** A frame's own window, one that leaves nothing out, in the modality's units; and whether a table is used instead. */
export function windowsOf(one, frame) {
  const [center, width] = [CENTER, WIDTH].map((tag) => numberOf(one, frame, VOI, tag));
  const own = center !== null && width > 0 ? { center, width } : null;
  const [slope, intercept] = [numberOf(one, frame, TRANSFORMATION, SLOPE) ?? 1, numberOf(one, frame, TRANSFORMATION, INTERCEPT) ?? 0];
  const bits = number(one, BITS) ?? 8;
  let low = number(one, IS_SIGNED) ? -(2 ** (bits - 1)) : 0;
  let high = low + 2 ** bits - 1;
  const [smallest, largest] = [number(one, SMALLEST), number(one, LARGEST)];
  if (smallest !== null && largest > smallest) [low, high] = [smallest, largest];
  else if (bits > 12 && value(one, MODALITY) === "CT") [low, high] = [(-1024 - intercept) / slope, (3071 - intercept) / slope];
  else if (bits > 12 && own) [low, high] = [(own.center - 1.5 * own.width - intercept) / slope, (own.center + 1.5 * own.width - intercept) / slope];
  else if (bits > 12) [low, high] = [0, 4095];
  const ends = [low * slope + intercept, high * slope + intercept];
  const whole = { center: (ends[0] + ends[1]) / 2, width: Math.max(1, Math.abs(ends[1] - ends[0])) };
  return { own, whole, hasTable: Boolean(one[VOI_LUT]?.Value?.length) };
}

// Usual settings in Hounsfield units; the names are those of radiology departments.
const CT = [
  ["Soft tissue", { center: 40, width: 400 }], ["Lung", { center: -600, width: 1500 }],
  ["Bone", { center: 400, width: 1800 }], ["Brain", { center: 40, width: 80 }],
];

/** The choice of windows for an image of a series, and what is chosen there. */
export class Presets {
  constructor(select) {
    [this.select, this.offered] = [select, []];
  }

  /** Offer what this image (none: it is on its way) can be shown under; `window` is what is wished for. */
  offer(series, image, window) {
    const isGrey = image && !image.isColour;
    this.offered = [["As stored", null], ...(isGrey && series.modality === "CT" ? CT : []), ...(isGrey ? [["Full range", image.whole]] : [])];
    const words = this.offered.map(([name], index) => `${name}${index < 9 ? ` (${index + 1})` : ""}`);
    if (words.join() !== [...this.select.options].slice(0, -1).map((one) => one.text).join()) {
      const options = words.map((word, index) => new Option(word, String(index)));
      this.select.replaceChildren(...options, Object.assign(new Option("By hand", "own"), { disabled: true }));
    }
    this.select.disabled = !isGrey;
    const known = this.offered.findIndex(([, one]) => one?.center === window?.center && one?.width === window?.width);
    this.select.value = !isGrey ? "0" : known < 0 ? "own" : String(known);
  }

  /** The window at that place, null for the file's own; undefined where none is offered there. */
  at(index) {
    return this.select.disabled ? undefined : this.offered[index]?.[1];
  }
}
