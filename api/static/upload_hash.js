// SHA-256 of files, away from the page. Small ones by the browser, large ones piece by piece (FIPS 180-4).
"use strict";

const PIECE = 4 * 1024 * 1024; // a multiple of 64
const AT_ONCE = 64 * 1024 * 1024;

const primes = (count) => {
  const found = [];
  for (let n = 2; found.length < count; n++) if (found.every((prime) => n % prime)) found.push(n);
  return found;
};
const fraction = (x) => ((x - Math.floor(x)) * 0x100000000) | 0;
const K = Int32Array.from(primes(64), (prime) => fraction(Math.cbrt(prime)));
const START = Int32Array.from(primes(8), (prime) => fraction(Math.sqrt(prime)));
const words = new Int32Array(64);

/** One block of 64 bytes at `at` into the state. */
function block(state, view, at) {
  for (let i = 0; i < 16; i++) words[i] = view.getInt32(at + 4 * i);
  for (let i = 16; i < 64; i++) {
    const [w15, w2] = [words[i - 15], words[i - 2]];
    const s0 = ((w15 >>> 7) | (w15 << 25)) ^ ((w15 >>> 18) | (w15 << 14)) ^ (w15 >>> 3);
    const s1 = ((w2 >>> 17) | (w2 << 15)) ^ ((w2 >>> 19) | (w2 << 13)) ^ (w2 >>> 10);
    words[i] = (words[i - 16] + s0 + words[i - 7] + s1) | 0;
  }
  let a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + words[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((value, i) => { state[i] = (state[i] + value) | 0; });
}

async function inPieces(file) {
  const state = START.slice();
  let offset = 0;
  for (; offset + PIECE <= file.size; offset += PIECE) {
    const view = new DataView(await file.slice(offset, offset + PIECE).arrayBuffer());
    for (let at = 0; at < PIECE; at += 64) block(state, view, at);
  }
  const rest = new Uint8Array(await file.slice(offset).arrayBuffer());
  const last = new Uint8Array(64 * Math.ceil((rest.length + 9) / 64));
  last.set(rest);
  last[rest.length] = 0x80;
  const view = new DataView(last.buffer);
  view.setBigUint64(last.length - 8, BigInt(file.size) * 8n);
  for (let at = 0; at < last.length; at += 64) block(state, view, at);
  return hex(Array.from(state, (value) => value >>> 0), 8);
}

const hex = (numbers, digits) => Array.from(numbers, (value) => value.toString(16).padStart(digits, "0")).join("");

async function sha256(file, isInPieces) {
  const subtle = self.crypto?.subtle; // only where the page came safely: HTTPS or this machine
  if (!subtle || isInPieces || file.size > AT_ONCE) return inPieces(file);
  return hex(new Uint8Array(await subtle.digest("SHA-256", await file.arrayBuffer())), 2);
}

self.onmessage = async (event) => {
  const { number, file, isInPieces } = event.data;
  try {
    self.postMessage({ number, sha256: await sha256(file, isInPieces) });
  } catch {
    self.postMessage({ number, sha256: "" }); // it cannot be read
  }
};
