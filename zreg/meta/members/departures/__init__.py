"""How members leave: drained, by goodbye, by silence, or by proof that they are gone."""
