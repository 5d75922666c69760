"""What the notebooks teach with: small examples worked out for any numbers, and the checks of their exercises."""
