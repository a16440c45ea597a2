"""Charts as inline SVG: text, coloured by the page's style sheet, so that they follow light, dark and print."""
