// A study by DICOMweb: its series, their images and frames, and which of them are not to be used.

import { number, value, windowsOf } from "./viewer_windows.js";

export const [NAME, PATIENT, BORN, STUDY_DATE, STUDY_DESCRIPTION, MODALITY] = ["00100010", "00100020", "00100030", "00080020", "00081030", "00080060"];
const [SERIES, SERIES_NUMBER, SERIES_DESCRIPTION, SERIES_COUNT, IMAGE, IMAGE_NUMBER] = ["0020000E", "00200011", "0008103E", "00201209", "00080018", "00200013"];
const [ROWS, COLUMNS, FRAMES, SAMPLES, PHOTOMETRIC] = ["00280010", "00280011", "00280008", "00280002", "00280004"];

const NO_STUDY = "There is no such study for you.";
const NO_IMAGE = "There is no such image for you, or it has no picture.";

/** What a page says of an error, and whether the address has ended. */
export class Refused extends Error {}

/** Asks DICOMweb: with the bearer's token, or as whoever is signed in. */
export class Dicomweb {
  constructor(study, token) {
    this.root = `/dicom-web/studies/${encodeURIComponent(study)}`;
    this.headers = token ? { Authorization: `Bearer ${token}` } : {};
  }

  async get(path, accept, signal, missing = NO_STUDY) {
    const answer = await fetch(this.root + path, { headers: { ...this.headers, Accept: accept }, signal, credentials: "same-origin", referrerPolicy: "no-referrer" });
    if (answer.ok) return answer;
    if (answer.status === 401) throw new Refused("This address has expired or was revoked.");
    if (answer.status === 403) throw new Refused(NO_STUDY);
    if (answer.status === 404) throw new Refused(missing);
    throw new Error(String(answer.status));
  }

  async json(path) {
    const answer = await this.get(path, "application/dicom+json");
    return answer.status === 204 ? [] : answer.json();
  }

  /** The notes of images that are not to be used, by their UIDs. */
  async rejected() {
    const found = await (await this.get("/rejected", "application/json")).json();
    return new Map(found.map((one) => [one.image_uid, one.note]));
  }

  async picture(path, signal) {
    return createImageBitmap(await (await this.get(path, "image/png", signal, NO_IMAGE)).blob());
  }
}

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
      of: one, uid: value(one, IMAGE), number: number(one, IMAGE_NUMBER), frames, path: `/series/${series.uid}/instances/${value(one, IMAGE)}`,
      isColour: number(one, SAMPLES) > 1 || value(one, PHOTOMETRIC) === "PALETTE COLOR", // windows are not for either
    };
    return Array.from({ length: frames }, (_, index) => ({ ...shared, frame: index + 1, ...windowsOf(one, index + 1) }));
  }).map((one, index) => ({ ...one, series, index }));
}
