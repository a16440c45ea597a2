"""What the prediction image is made of, and what is known against it: bill of materials, licences, advisories."""
