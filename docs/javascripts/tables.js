// Long names in tables break after punctuation, and nowhere else.
for (const code of document.querySelectorAll("td code")) {
  for (const text of [...code.childNodes].filter((node) => node.nodeType === 3)) {
    const parts = text.data.split(/(?<=[(_=/.])(?=\S)/);
    text.replaceWith(
      ...parts.flatMap((part, i) => (i ? [document.createElement("wbr"), part] : [part])),
    );
  }
}
