"""What performance claims are measured with: `python -m benchmarks`. Reports, never tests."""
