// A study by DICOMweb: its series, their images and frames, and how each is meant to be shown.

export const [NAME, PATIENT, BORN, STUDY_DATE, STUDY_DESCRIPTION, MODALITY] = ["00100010", "00100020", "00100030", "00080020", "00081030", "00080060"];
const [SERIES, SERIES_NUMBER, SERIES_DESCRIPTION, SERIES_COUNT, IMAGE, IMAGE_NUMBER] = ["0020000E", "00200011", "0008103E", "00201209", "00080018", "00200013"];
const [ROWS, COLUMNS, FRAMES, SAMPLES, CENTER, WIDTH] = ["00280010", "00280011", "00280008", "00280002", "00281050", "00281051"];
const VOI_LUT = "00283010";
const [BITS, IS_SIGNED, SLOPE, INTERCEPT, SMALLEST, LARGEST] = ["00280101", "00280103", "00281053", "00281052", "00280106", "00280107"];

/** What a page says of an error, and whether the address has ended. */
export class Refused extends Error {}

/** Asks DICOMweb: with the bearer's token, or as whoever is signed in. */
export class Dicomweb {
  constructor(study, token) {
    this.root = `/dicom-web/studies/${encodeURIComponent(study)}`;
    this.headers = token ? { Authorization: `Bearer ${token}` } : {};
  }

  async get(path, accept, signal) {
    const answer = await fetch(this.root + path, { headers: { ...this.headers, Accept: accept }, signal, credentials: "same-origin", referrerPolicy: "no-referrer" });
    if (answer.ok) return answer;
    if (answer.status === 401) throw new Refused("This address has expired or was revoked.");
    if (answer.status === 403 || answer.status === 404) throw new Refused("There is no such study for you.");
    throw new Error(String(answer.status));
  }

  async json(path) {
    const answer = await this.get(path, "application/dicom+json");
    return answer.status === 204 ? [] : answer.json();
  }

  async picture(path, signal) {
    return createImageBitmap(await (await this.get(path, "image/png", signal)).blob());
  }
}

export const value = (one, tag) => one[tag]?.Value?.[0];
const number = (one, tag) => { const found = Number(value(one, tag)); return value(one, tag) !== undefined && Number.isFinite(found) ? found : null; };
export const person = (one, tag) => (value(one, tag)?.Alphabetic ?? "").split("^").slice(0, 2).filter(Boolean).join(", ");
export const day = (text) => (/^\d{8}$/.test(text ?? "") ? `${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}` : "");

export async function seriesOf(web) {
  const found = await web.json("/series?limit=1000");
  const series = found.map((one) => ({
    uid: value(one, SERIES), number: number(one, SERIES_NUMBER), modality: value(one, MODALITY) ?? "",
    description: value(one, SERIES_DESCRIPTION) ?? "", count: number(one, SERIES_COUNT), images: null,
  }));
  return series.sort((a, b) => (a.number ?? 1e9) - (b.number ?? 1e9));
}

/** Every frame of a series, in the order of image numbers; each knows its series and its place there. */
export async function imagesOf(web, series) {
  const found = await web.json(`/series/${series.uid}/metadata`);
  const images = found.filter((one) => number(one, ROWS) && number(one, COLUMNS));
  images.sort((a, b) => (number(a, IMAGE_NUMBER) ?? 1e9) - (number(b, IMAGE_NUMBER) ?? 1e9));
  return images.flatMap((one) => {
    const frames = number(one, FRAMES) ?? 1;
    const shared = {
      of: one, uid: value(one, IMAGE), number: number(one, IMAGE_NUMBER), frames, isColour: number(one, SAMPLES) > 1,
      path: `/series/${series.uid}/instances/${value(one, IMAGE)}`, ...windowsOf(one),
    };
    return Array.from({ length: frames }, (_, index) => ({ ...shared, frame: index + 1 }));
  }).map((one, index) => ({ ...one, series, index }));
}

/** The file's own window, one that leaves nothing out, in the modality's units; and whether a table is used instead. */
function windowsOf(one) {
  const [center, width] = [number(one, CENTER), number(one, WIDTH)];
  const own = center !== null && width > 0 ? { center, width } : null;
  const [slope, intercept, bits] = [number(one, SLOPE) ?? 1, number(one, INTERCEPT) ?? 0, number(one, BITS) ?? 8];
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

export function presetsOf(series, image) {
  if (!image || image.isColour) return [["As stored", null]];
  return [["As stored", null], ...(series.modality === "CT" ? CT : []), ["Full range", image.whole]];
}
