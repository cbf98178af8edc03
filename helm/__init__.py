"""What the chart is made with."""
