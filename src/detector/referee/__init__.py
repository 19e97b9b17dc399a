"""Referee: any detector on any labelled images, compared in tables, figures and one page. No torch."""
