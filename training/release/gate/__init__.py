"""Champion against challenger: criteria and verdict."""
