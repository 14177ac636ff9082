// Checks the locked dependencies: every licence is one that we may ship, and crates with known
// faults are at least at the version that mended them. Reads `cargo metadata` from stdin.

const LICENCES = new Set([
  "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause",
  "BSL-1.0", "CC0-1.0", "CDLA-Permissive-2.0", "ISC", "OpenSSL", "Unicode-3.0", "Unlicense",
  "Zlib", "0BSD", "MPL-2.0",
]);

// Crate: first version without the fault (advisory).
const FLOORS = {
  "aws-lc-rs": ["1.16.2", "RUSTSEC-2026-0044"],
  diesel: ["2.2.3", "RUSTSEC-2024-0365"],
  h2: ["0.4.16", "RUSTSEC-2026-0258"],
  jsonwebtoken: ["10.3.0", "CVE-2026-25537"],
  lopdf: ["0.42.0", "RUSTSEC-2026-0187"],
  phonenumber: ["0.3.6", "RUSTSEC-2024-0369"],
  rustls: ["0.23.45", "RUSTSEC-2026-0285"],
  "rustls-webpki": ["0.103.13", "RUSTSEC-2026-0104"],
  tonic: ["0.12.3", "RUSTSEC-2024-0376"],
  "tracing-subscriber": ["0.3.20", "RUSTSEC-2025-0055"],
};

const below = (version, floor) => {
  const [a, b] = [version, floor].map((text) => text.split(/[.+-]/).slice(0, 3).map(Number));
  for (let i = 0; i < 3; i += 1) if (a[i] !== b[i]) return a[i] < b[i];
  return false;
};

// "MIT OR Apache-2.0", "(MIT OR Apache-2.0) AND Unicode-3.0", the old "MIT/Apache-2.0".
const allowed = (expression) =>
  expression
    .replaceAll("/", " OR ")
    .split(/\s+AND\s+/)
    .every((part) => part.replace(/[()]/g, "").split(/\s+OR\s+/).some((l) => LICENCES.has(l.trim())));

let text = "";
for await (const chunk of process.stdin) text += chunk;
const { packages } = JSON.parse(text);
const faults = [];
for (const { name, version, license, source } of packages) {
  if (source && !(license && allowed(license))) faults.push(`${name} ${version}: licence ${license}`);
  const [floor, why] = FLOORS[name] ?? [];
  if (floor && below(version, floor)) faults.push(`${name} ${version}: needs ${floor} (${why})`);
}
console.log(`${packages.length} packages checked`);
if (faults.length > 0) {
  console.error(faults.join("\n"));
  process.exit(1);
}
