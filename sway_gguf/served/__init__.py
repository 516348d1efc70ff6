"""A running server held against base and adapter: does it serve what was tested?"""
