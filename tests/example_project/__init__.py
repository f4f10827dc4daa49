"""Tests of the example shop and its demo."""
