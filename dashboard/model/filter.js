// Which topics a filter matches, as the MQTT specification says. Pure functions.

/** Whether a text is a topic filter: `+` and `#` stand alone in a level, `#` in the last. */
export function isFilter(text) {
  const levels = text.split("/");
  return (
    /[+#]/.test(text) &&
    levels.every(
      (level, place) =>
        !/[+#]/.test(level) || level === "+" || (level === "#" && place === levels.length - 1),
    )
  );
}

/** Whether it is the broker's own: wildcards at the beginning of a filter leave it out. */
export const isSpecial = (topic) => topic.startsWith("$");

/** Return a function that says whether a topic matches. */
export function matcher(filter) {
  const wanted = filter.split("/");
  return (topic) => {
    if (isSpecial(topic) && /^[+#]/.test(filter)) return false;
    const levels = topic.split("/");
    for (let place = 0; place < wanted.length; place += 1) {
      if (wanted[place] === "#") return levels.length >= place;
      if (place >= levels.length) return false;
      if (wanted[place] !== "+" && wanted[place] !== levels[place]) return false;
    }
    return levels.length === wanted.length;
  };
}

/** Whether a topic is matched by one of several filters. */
export const matchesAny = (filters, topic) => filters.some((filter) => matcher(filter)(topic));
