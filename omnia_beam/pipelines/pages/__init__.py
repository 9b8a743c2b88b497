"""The pages that people look at share a style, formats of numbers and times, and the way in which they are rendered."""
