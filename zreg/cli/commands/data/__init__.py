"""Commands about what data nodes hold, and which of them holds it."""
