// The sign of each tone.
export const MARKS = { good: "✓", bad: "!", wait: "…", plain: "i" };
