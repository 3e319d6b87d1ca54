// What the exercises of the course share.

import { note } from "./course-progress.js";

export const $ = (id) => document.getElementById(id);
export const exercise = $("try");
export const given = exercise.dataset;
export const count = (value) => value.toLocaleString("en");

// The result of an exercise, in words. `kind` is "good", "bad" or "".
export function tell(words, kind = "") {
  const verdict = $("verdict");
  verdict.className = `verdict ${kind}`;
  if (verdict.textContent !== words) verdict.textContent = words;
}

// The exercise has been done.
export const done = () => note(given.step);

export function make(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

export function span(seconds) {
  const units = [[60, 1, "second"], [3600, 60, "minute"], [86400, 3600, "hour"], [31557600, 86400, "day"], [Infinity, 31557600, "year"]];
  const [, unit, name] = units.find(([bound]) => seconds < bound);
  const value = Number((seconds / unit).toPrecision(2));
  return `${count(value)} ${name}${value === 1 ? "" : "s"}`;
}

// Run what an exercise does, and say it if that fails.
export function attempt(action) {
  return async (...args) => {
    try {
      await action(...args);
    } catch (error) {
      tell(error.message, "bad");
    }
  };
}
