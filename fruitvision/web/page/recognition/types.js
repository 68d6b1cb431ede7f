// The types of model.json, and of the messages between the page and its worker. There is no code here.

/**
 * An upright picture in RGB: width * height * 3 bytes, row by row.
 * @typedef {{ width: number, height: number, data: Uint8Array }} Pixels
 */

/**
 * The evaluation transform, as the checkpoint's config.json has it.
 * @typedef {object} Transform
 * @property {number} resize
 * @property {number} crop
 * @property {number[]} mean
 * @property {number[]} std
 * @property {number} views 1, or 2 with the mirror image
 * @property {number[]} scales
 * @property {boolean} white_mirrored
 */

/** @typedef {{ unsure: number, not_fruit: number }} Thresholds */

/**
 * @typedef {object} TaughtNumbers
 * @property {Record<string, number>} gate
 * @property {number} gate_bias
 * @property {number} shut
 * @property {number} alone
 * @property {number} min_count
 * @property {number} max_count
 * @property {number} ridge
 * @property {number} sure
 * @property {number} sure_count
 * @property {number} sharpness
 * @property {number} max_rows
 * @property {number} center
 * @property {number} darker
 * @property {number} brighter
 * @property {string[]} no_fruit_names
 * @property {number} quality of a stored JPEG, 0..1
 * @property {number} max_name_length
 * @property {number} max_pictures
 */

/**
 * @typedef {object} Model
 * @property {string} name
 * @property {string} version of all the page's files together
 * @property {string} fingerprint of the network and its preprocessing
 * @property {{ file: string, weights: string, features: number, zoom: number, reference: number[] }} network
 * @property {{ module: string, glue: string, wasm: string }} runtime
 * @property {{ module: string, glue: string, wasm: string } | null} webgpu
 * @property {string[]} classes
 * @property {string[]} fruit_types of each class
 * @property {boolean[]} varieties whether a class is a variety of its fruit type
 * @property {boolean[]} only_on_white whether no photograph of its fruit was learned
 * @property {Record<string, string>} chinese names of classes and types
 * @property {string} not_fruit the fruit type of no fruit
 * @property {Transform} transform
 * @property {number} temperature
 * @property {Thresholds} thresholds
 * @property {number} short_side
 * @property {number} draft_side the short side that a JPEG decoded at a half, a fourth or an eighth of its size must have
 * @property {number} guesses
 * @property {number} smoothing
 * @property {{ very_sure: number, min_both: number, min_second: number, min_alone: number, min_shown: number }} card
 * @property {{ stops: number[][], opacity: number[] }} heatmap
 * @property {TaughtNumbers} taught
 * @property {number} max_pixels
 * @property {number} max_bytes
 * @property {Record<string, Record<string, string>>} words by language and key
 * @property {Record<string, string>} accuracy by language
 */

/** @typedef {{ label: string, fruit_type: string, probability: number, taught: boolean }} Guess */

/**
 * @typedef {object} Prediction
 * @property {string} label
 * @property {string} fruit_type
 * @property {number} confidence
 * @property {"sure" | "unsure" | "not-fruit"} verdict
 * @property {Guess[]} top best first
 * @property {Float64Array} probabilities by class, those of taught names last
 */

export {};
